"""``finish``: a run ends with the labels that it has."""

from msal_lightning.analysis.status import look
from msal_lightning.cli.amend.amending import (
    amending,
    amending_parser,
    go_on_after,
    label_counts,
    record,
    trained_request,
)
from msal_lightning.config.command_parser import PROGRAM
from msal_lightning.errors import RunError
from msal_lightning.io.terminal import say
from msal_lightning.runs.amendments import Correct, Finish, Remove
from msal_lightning.runs.pending import INITIAL, all_pending
from msal_lightning.runs.reading import Run


def finish(argv: list[str]) -> None:
    """End a run with the labels that it has: train and test a model on all of them.

    Args:
        argv: ``RUN``, and options of ``fit`` that do not change results.

    Raises:
        UserError: the run has no budget of its own, or no model yet.
    """
    prog = f"{PROGRAM} finish"
    parser = amending_parser(
        prog,
        "End a run with the labels that it has: train and test the last model on all of them. A request that nobody "
        "has answered is withdrawn; one with some answers is waited for, and skipped images are not replaced.",
        [f"{prog} runs/mine", f"{prog} runs/mine --reason 'good enough'"],
    )
    parser.add_argument("--later", action="store_true", help="only record it; `resume RUN` goes on")
    options, changes = parser.parse_known_args(argv)
    with amending(options.run) as run:
        counts = label_counts(run, "finish")
        if _is_finished(run, counts):
            say(f"the run '{run.folder}' is finished with {counts[-1]:,} labels; `extend` queries more")
            return
        if not (run.amendments.finishes and len(run.records) < len(counts)):
            last, labels = _end(run, counts)
            record(run, Finish(counts[-1], labels, last), options.reason)
    go_on_after(options, changes)


def _is_finished(run: Run, counts: list[int]) -> bool:
    """Whether all rounds are done, and no label has changed since."""
    return len(run.records) == len(counts) and not _labels_changed(run, len(run.records) - 1)


def _labels_changed(run: Run, trained: int) -> bool:
    """Whether labels may have been corrected or removed since the fit of a round.

    Args:
        run: the run.
        trained: the round. If it has no record yet, nothing tells whether images were removed before its fit.
    """
    corrected = (isinstance(one.change, Correct) and one.before_round > trained for one in run.amendments.items)
    removed = (isinstance(one.change, Remove) and one.before_round >= len(run.records) for one in run.amendments.items)
    return any(corrected) or any(removed)


def _end(run: Run, counts: list[int]) -> tuple[int, int]:
    """Return the last round of a run that ends now, and the number of labels that its model trains on: all so far."""
    done, trained = len(run.records), trained_request(run)
    if done == len(counts):
        return done, counts[-1]
    if trained is None and not run.amendments.reopened(run.records):
        if done == 0:
            what = f"labels for {INITIAL} are missing" if look(run.folder).waiting else "round 0 is not trained"
            raise RunError(
                f"expected a run with a model for `finish`, got one without ({what}): `resume {run.folder}` first"
            )
        return done, counts[done]
    if trained is None:
        trained = done - 1  # the run was extended, and its last model has not queried yet
    elif not _is_unanswered(run):
        return trained + 1, counts[trained + 1]
    return trained + _labels_changed(run, trained), counts[trained]


def _is_unanswered(run: Run) -> bool:
    """Whether the run waits for labels of which none has been given."""
    waiting = look(run.folder).waiting
    if waiting is None:
        return False
    is_listed = waiting.file is not None or waiting.shares
    requests = [one for one in all_pending(run.folder) if one.pending]
    return (
        bool(is_listed) and waiting.blank == waiting.labels and not waiting.mistake and len(requests[0].exchanges) == 1
    )
