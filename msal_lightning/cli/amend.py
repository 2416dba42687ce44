"""``extend``, ``finish`` and ``correct``: changes to a run, each a record of its own."""

from pathlib import Path

from msal_lightning.analysis.status import look
from msal_lightning.cli.amending import amending, amending_parser, go_on_after, label_counts, record, trained_request
from msal_lightning.config.command_parser import PROGRAM
from msal_lightning.config.paths import a_path
from msal_lightning.errors import ConfigError, RunError
from msal_lightning.io.terminal import say
from msal_lightning.io.wording import counted
from msal_lightning.runs.amendments import Correct, Extend, Finish, Remove
from msal_lightning.runs.directory import RunDirectory
from msal_lightning.runs.pending import INITIAL, all_pending
from msal_lightning.runs.reading import Run
from msal_lightning.runs.records import digest_of, record_body
from msal_lightning.runs.relabeled import read_corrections


def extend(argv: list[str]) -> None:
    """Let a run query more labels than it was planned for, and resume it.

    Args:
        argv: ``RUN``, ``--labels`` or ``--rounds``, and options of ``fit`` that do not change results.

    Raises:
        UserError: the run has no budget of its own, or its pool is too small.
    """
    prog = f"{PROGRAM} extend"
    parser = amending_parser(
        prog,
        "Query more labels than planned, as if the run had begun with the larger budget, and resume the run.",
        [f"{prog} runs/mine --labels 200", f"{prog} runs/mine --rounds 3 --reason 'the new season'"],
    )
    parser.add_argument("--labels", type=int, metavar="N", help="so many labels more")
    parser.add_argument("--rounds", type=int, metavar="N", help="so many rounds more, of loop.query_size labels each")
    again = "extend by as much once more; without it, the same command only resumes the run"
    parser.add_argument("--again", action="store_true", help=again)
    parser.add_argument("--later", action="store_true", help="only record it; `resume RUN` goes on")
    options, changes = parser.parse_known_args(argv)
    given = [value for value in (options.labels, options.rounds) if value is not None]
    if len(given) != 1 or given[0] < 1:
        raise ConfigError(
            f"expected --labels or --rounds to be a positive number, got --labels {options.labels} and --rounds "
            f"{options.rounds}: --labels 200 queries 200 more"
        )
    with amending(options.run) as run:
        counts, size = label_counts(run, "extend"), int(run.config.get("loop.query_size") or 1)
        new = counts[-1] + (options.labels or options.rounds * size)
        if options.again or not _extends_by(run, new - counts[-1]):
            _check_pool(run, counts[-1], new)
            last = run.records[-1] if len(run.records) == len(counts) else None
            change = Extend(counts[-1], new, size, digest_of(record_body(last)) if last else None)
            record(run, change, options.reason)
    go_on_after(options, changes)


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


def correct(argv: list[str]) -> None:
    """Correct labels that were given before; later fits use the new ones.

    Args:
        argv: ``RUN FILE``.

    Raises:
        UserError: the file names an image without a label, or an unknown class.
    """
    prog = f"{PROGRAM} correct"
    parser = amending_parser(
        prog,
        "Correct labels of any round. Later fits use the new labels; the records of earlier rounds stay as they are.",
        [f"{prog} runs/mine corrected.csv --reason 'zebra and horse were mixed up'"],
    )
    parser.add_argument(
        "file",
        metavar="FILE",
        type=a_path,
        help="CSV with the columns path (or the index of the image, where there are no files) and label",
    )
    options = parser.parse_args(argv)
    with amending(options.run) as run:
        change = read_corrections(run, Path(options.file))
        trained = trained_request(run)
        done = len(run.records) if trained is None else trained + 1
        record(run, change, options.reason, done)
        RunDirectory(run.folder).derive_tables()  # the ledger shows the new labels
        counts = run.label_counts
    if counts and done == len(counts):
        say(f"the run is finished: `finish {options.run}` trains a model on the new labels, and `extend` queries more")
    else:
        say(f"the fits from round {done} on use them: `resume {options.run}` goes on")


def _check_pool(run: Run, old: int, new: int) -> None:
    if not run.records:
        return
    first = run.records[0]
    skipped = sum(len(record.skipped.index) for record in run.records if record.skipped)
    skipped_first = len(first.skipped.index) if first.skipped else 0
    total = first.num_labeled + first.num_pool + skipped_first - skipped + run.amendments.pool_growth
    if total == old:
        raise RunError(f"the pool of '{run.folder}' has no image left: `add` new ones first, or `finish`")
    if new > total:
        raise RunError(
            f"expected at most {counted(total - old, 'more label')}, since the pool has no more images after round "
            f"{len(run.label_counts or []) - 1}, got {new - old}: lower it"
        )


def _extends_by(run: Run, labels: int) -> bool:
    """Whether the last change was the same extension: a repeated command must not pay for labels twice."""
    last = run.amendments.items[-1].change if run.amendments.items else None
    if not isinstance(last, Extend) or last.new - last.old != labels:
        return False
    say(f"(the extension by {counted(labels, 'label')} is recorded already; --again adds as many again)")
    return True


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
