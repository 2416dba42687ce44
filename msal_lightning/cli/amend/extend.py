"""``extend``: more labels than planned."""

from msal_lightning.cli.amend.amending import amending, amending_parser, go_on_after, label_counts, record
from msal_lightning.config.command_parser import PROGRAM
from msal_lightning.errors import ConfigError, RunError
from msal_lightning.io.terminal import say
from msal_lightning.io.wording import counted
from msal_lightning.runs.amendments import Extend, Remove
from msal_lightning.runs.reading import Run
from msal_lightning.runs.records import digest_of, record_body


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


def _check_pool(run: Run, old: int, new: int) -> None:
    """Refuse more labels than the pool has images."""
    if not run.records:
        return
    given, left = _given_and_left(run)
    if given + left <= old:
        raise RunError(f"the pool of '{run.folder}' has no image left: `add` new ones first, or `finish`")
    if new > given + left:
        raise RunError(
            f"expected at most {counted(given + left - old, 'more label')}, since the pool has no more images after "
            f"round {len(run.label_counts or []) - 1}, got {new - old}: lower it"
        )


def _given_and_left(run: Run) -> tuple[int, int]:
    """Return the number of labels after the last recorded round, removed ones too, and of images that have none."""
    *_, before, last = None, *run.records
    removed = (one for one in run.amendments.items if one.before_round <= last.round)
    given = last.num_labeled + sum(one.change.labeled for one in removed if isinstance(one.change, Remove))
    reserved = len(before.upcoming.index) if before and before.upcoming else 0
    skipped = len(last.skipped.index) if last.skipped and last.queried.index else 0
    queried = len(last.queried.index)
    left = last.num_pool + reserved - queried - skipped + run.amendments.pool_growth(last)
    return given + queried, left


def _extends_by(run: Run, labels: int) -> bool:
    """Whether the last change was the same extension: a repeated command must not pay for labels twice."""
    last = run.amendments.items[-1].change if run.amendments.items else None
    if not isinstance(last, Extend) or last.new - last.old != labels:
        return False
    say(f"(the extension by {counted(labels, 'label')} is recorded already; --again adds as many again)")
    return True
