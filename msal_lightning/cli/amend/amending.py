"""What all commands that amend a run have in common."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from msal_lightning.config.command_parser import PROGRAM, TRUST_HELP, CommandParser
from msal_lightning.config.paths import a_path
from msal_lightning.errors import RunError
from msal_lightning.io.lock import DirectoryLock
from msal_lightning.io.terminal import say
from msal_lightning.runs.amendments import Change, write_amendment
from msal_lightning.runs.pending import all_pending, open_requests, round_name
from msal_lightning.runs.reading import Run, read_run


@contextmanager
def amending(folder: Path | str) -> Iterator[Run]:
    """Read a run, and hold its lock, so that no round begins meanwhile.

    Raises:
        RunError: the folder is no run directory, is in use, is damaged, or cannot be written.
    """
    path = Path(folder)
    run = read_run(path)
    lock = DirectoryLock(path / "lock", "RUN")
    try:
        lock.acquire()
        yield read_run(run.folder)
    except OSError as error:
        raise RunError(f"cannot write into '{path}' ({error.strerror or error}): make it writable") from None
    finally:
        lock.close()


def amending_parser(prog: str, description: str, examples: list[str]) -> CommandParser:
    """Return a parser with the arguments that all these commands have."""
    parser = CommandParser(prog, description=description, examples=examples)
    parser.add_argument("run", metavar="RUN", type=a_path, help="the run directory")
    parser.add_argument("--reason", default="", metavar="TEXT", help="why; kept in the amendment")
    parser.add_argument("--trust", action="append", default=[], metavar="DOTTED.PATH", help=TRUST_HELP)
    return parser


def go_on_after(options: Any, changes: list[str]) -> None:
    """Resume the amended run, unless the user wants that later."""
    run = Path(options.run)
    if options.later:
        say(f"`{PROGRAM} resume {run}` goes on")
        return
    from msal_lightning.cli.resume import go_on

    go_on(run, changes, options.trust)


def record(run: Run, change: Change, reason: str, before_round: int | None = None) -> None:
    """Write an amendment, and say what it changes.

    Args:
        run: the run, locked.
        change: the change.
        reason: the person's words.
        before_round: first round whose fit knows the change; by default the first one without a record.
    """
    before_query = queries_later(run) and change.may_precede_query
    before_round = len(run.records) if before_round is None else before_round
    file = write_amendment(run.folder, run.amendments.next(change, before_round, before_query, reason))
    say(f"{change.describe(run.class_names)} ({file})")


def label_counts(run: Run, command: str) -> list[int]:
    """Return the number of labels of each round.

    Raises:
        RunError: another run or the data decides them.
    """
    counts = run.label_counts
    if counts is None:
        raise RunError(
            f"expected '{run.folder}' to query labels for `{command}`, got a run that "
            + ("replays another one" if run.config.get("loop.replay") else "trains on all images")
            + f": name a run with a loop.query_budget, or give `{command}` the run that was replayed"
        )
    return counts


def trained_request(run: Run) -> int | None:
    """Return the round whose model is trained, and whose requested labels no record has; None if there is none."""
    done = len(run.records) - (run.amendments.reopened(run.records) is not None)
    waiting = [one.name for one in open_requests(run.folder, done) if one.record]
    return int(waiting[0].removeprefix("round-")) if waiting else None


def queries_later(run: Run) -> bool:
    """Whether the last recorded round has made no query."""
    done = len(run.records)
    if done == len(run.label_counts or []):
        return True
    asked = {request.name for request in all_pending(run.folder)}
    return run.amendments.reopened(run.records) is not None and round_name(done - 1) not in asked


def check_begun(run: Run) -> None:
    """Refuse a run without a finished round.

    Raises:
        RunError: there is none.
    """
    if not run.records:
        raise RunError(
            f"expected a run with a finished round, got '{run.folder}' without one: change the folder of the images, "
            "and begin the run anew"
        )


def say_next(run: Run, what: str) -> None:
    """Name the command that continues a run whose images have changed.

    Args:
        run: the run.
        what: what happens then.
    """
    if len(run.records) == len(run.label_counts or []):
        say(f"the run is finished: `{PROGRAM} extend {run.folder} --labels N` goes on and {what}")
    else:
        say(f"`{PROGRAM} resume {run.folder}` goes on and {what}")
