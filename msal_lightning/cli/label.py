"""The command ``label``: copy the labels of a filled CSV file into a run."""

from contextlib import closing
from pathlib import Path

from msal_lightning.errors import RunError
from msal_lightning.io.lock import DirectoryLock
from msal_lightning.io.own_files import refuse_linked_folders, remove_parts
from msal_lightning.io.terminal import say
from msal_lightning.io.wording import counted
from msal_lightning.oracles.csv_files.csv_file import read_answers, write_csv
from msal_lightning.oracles.disagreement import say_disagreements, words
from msal_lightning.runs.directory import is_run
from msal_lightning.runs.pending import BATCH_FILES, pending
from msal_lightning.runs.reading import read_run


def label(run: Path, file: Path) -> None:
    """Check a whole filled file, then copy its labels into the file that the run waits for.

    Blank lines leave the run's file as it is. The same ``fit`` command resumes the run.

    Args:
        run: the run directory.
        file: the file that the contact sheet saved, or a filled copy of the run's own file.

    Raises:
        RunError: the run waits for no labels, a process writes into it, or a line is wrong. Nothing is written then.
    """
    config = read_run(run).config
    if not is_run(run):
        raise RunError(
            f"expected '{run}' to be a run directory of this program, found another folder: name one of runs/"
        )
    refuse_linked_folders(run, BATCH_FILES)
    with closing(_only_writer(run)):
        batch = pending(run)
        if batch is None:
            raise RunError(f"the run '{run}' waits for no labels: run its `fit` command, which requests the next ones")
        ours = batch.folder / f"{batch.name}.csv"
        if not ours.exists():
            raise RunError(f"expected '{ours}', the file that oracle Files writes, found none: `fit` writes it again")
        if not ours.resolve().is_relative_to(run.resolve()):
            raise RunError(f"expected '{ours}' in the run directory, found a link to another place: remove it")
        allow_new = bool(config.get("oracle.init_args.allow_new_classes"))
        given = read_answers(batch, file, allow_new)
        before = read_answers(batch, ours, allow_new)
        answers = [new or old for new, old in zip(given, before, strict=True)]
        changed = {
            item.path: (words(old), words(new))
            for item, old, new in zip(batch.items, before, answers, strict=True)
            if old is not None and old != new
        }
        try:
            remove_parts(run, BATCH_FILES)
            # first, so that no replaced label is lost
            listed = say_disagreements(ours.with_name(f"{batch.name}-replaced.csv"), changed) if changed else ""
            write_csv(batch, ours, answers)
        except OSError as error:
            raise RunError(f"cannot write '{ours}' ({error.strerror}): make room or give it back to you") from None
    missing = answers.count(None)
    replaced = f" ({counted(len(changed), 'former label')} replaced)" if changed else ""
    then = (
        f"{missing} {'is' if missing == 1 else 'are'} still missing"
        if missing
        else "all are there: the same `fit` command resumes the run"
    )
    say(f"{len(given) - given.count(None)} of {counted(len(given), 'label')} copied into {ours}{replaced}; {then}")
    if listed:
        say(listed)


def _only_writer(run: Path) -> DirectoryLock:
    """Lock the run, so that no ``fit`` reads and no other ``label`` writes the file meanwhile."""
    lock = DirectoryLock(run / "lock")
    try:
        lock.acquire()
    except OSError as error:
        raise RunError(f"cannot write into '{run}' ({error.strerror}): make room or give it back to you") from None
    return lock
