"""The command ``label``: copy the labels of a filled CSV file into a run."""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from msal_lightning.errors import RunError
from msal_lightning.io.lock import DirectoryLock
from msal_lightning.io.own_files import refuse_linked_folders, remove_parts
from msal_lightning.io.terminal import say
from msal_lightning.io.wording import counted
from msal_lightning.oracles.base import LabelingBatch
from msal_lightning.oracles.csv_files.csv_file import (
    KnownClasses,
    Votes,
    annotators_in,
    plain_path,
    read_lines,
    read_votes,
    write_votes,
)
from msal_lightning.oracles.csv_files.decisions import file_of, is_list, known_names, take_over
from msal_lightning.oracles.csv_files.shares import Share, find_shares
from msal_lightning.oracles.disagreement import say_disagreements
from msal_lightning.oracles.resolve import disagree
from msal_lightning.runs.directory import is_run
from msal_lightning.runs.pending import BATCH_FILES, all_pending
from msal_lightning.runs.reading import read_run


def label(run: Path, file: Path, annotator: str | None = None) -> None:
    """Check a whole filled file, then copy its labels into the file that the run waits for.

    A file with the column votes decides about images on which annotators disagree. Blank lines leave the run's file as
    it is; labels of another annotator stay beside the new ones. The same ``fit`` command resumes the run.

    Args:
        run: the run directory.
        file: the file that the contact sheet saved, or a filled copy of the run's own file.
        annotator: who filled in the file; by default the file's column annotator says so, or nobody is named.

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
        batches = [request.pending for request in all_pending(run) if request.pending]
        if not batches:
            raise RunError(f"the run '{run}' waits for no labels: run its `fit` command, which requests the next ones")
        batch = _batch_of(file, batches)
        if is_list(file):
            _decide(run, batch, file, bool(config.get("oracle.init_args.allow_new_classes")))
            return
        share = _share(batch, file, annotator)
        ours, name = share.file, annotator or share.annotator
        _check_inside(ours, run)
        allow_new = bool(config.get("oracle.init_args.allow_new_classes"))
        given = [_named(votes, name) for votes in read_votes(share.batch, file, allow_new)]
        before = [_named(votes, share.annotator) for votes in read_votes(share.batch, ours, allow_new)]
        votes = [old | new for new, old in zip(given, before, strict=True)]
        changed = _changed(share.batch, before, given)
        try:
            remove_parts(run, BATCH_FILES)
            # first, so that no replaced label is lost
            listed = say_disagreements(ours.with_name(f"{share.batch.name}-replaced.csv"), changed) if changed else ""
            write_votes(share.batch, ours, votes, share.annotator)
        except OSError as error:
            raise RunError(f"cannot write '{ours}' ({error.strerror}): make room or give it back to you") from None
    _say(ours, given, votes, changed)
    if listed:
        say(listed)


def _check_inside(ours: Path, run: Path) -> None:
    if not ours.resolve().is_relative_to(run.resolve()):
        raise RunError(f"expected '{ours}' in the run directory, found a link to another place: remove it")


def _decide(run: Path, batch: LabelingBatch, file: Path, allow_new: bool) -> None:
    """Copy what a person decided about images on which annotators disagree."""
    ours = file_of(batch)
    if not ours.exists():
        raise RunError(
            f"expected annotators to disagree about images of {batch.name}, found no '{ours}': give `label` a file of "
            "labels"
        )
    _check_inside(ours, run)
    votes = [given for share in find_shares(batch) for given in read_votes(share.batch, share.file, allow_new)]
    classes = KnownClasses(known_names(batch, votes), allow_new)
    try:
        copied, missing = take_over(file, ours, classes)
    except OSError as error:
        raise RunError(f"cannot write '{ours}' ({error.strerror}): make room or give it back to you") from None
    say(f"{counted(copied, 'decision')} copied into {ours}; {_then(missing)}")


def _batch_of(file: Path, batches: Sequence[LabelingBatch]) -> LabelingBatch:
    """Return the batch whose images a file names; the one that the run waits for if it names none."""
    header, *lines = read_lines(file)
    place = header.fields.index("path")
    named = {plain_path(line.fields[place]) for line in lines if len(line.fields) > place}
    return next((one for one in batches if named & {plain_path(item.path) for item in one.items}), batches[0])


def _share(batch: LabelingBatch, file: Path, annotator: str | None) -> Share:
    """Return the share of the batch that a file belongs to."""
    shares = find_shares(batch)
    if not shares:
        ours = batch.folder / f"{batch.name}.csv"
        raise RunError(f"expected '{ours}', the file that oracle Files writes, found none: `fit` writes it again")
    if not shares[0].annotator:
        return shares[0]
    known, names = [share.annotator for share in shares], [annotator] if annotator else annotators_in(file)
    if len(names) != 1 or names[0] not in known:
        got = f"{' and '.join(names)} in '{file}'" if names and not annotator else annotator or "none"
        raise RunError(
            f"expected --annotator to be one of {', '.join(known)}, who share {batch.name}, got {got}: set it"
        )
    return shares[known.index(names[0])]


def _named(votes: Votes, annotator: str) -> Votes:
    return {name or annotator: vote for name, vote in votes.items()}


def _changed(batch: LabelingBatch, before: Sequence[Votes], given: Sequence[Votes]) -> dict[str, list[str]]:
    """Return former and new label of each image whose label an annotator changed."""
    changed = dict[str, list[str]]()
    for item, old, new in zip(batch.items, before, given, strict=True):
        for name in old.keys() & new.keys():
            if old[name] != new[name]:
                by = f"{name}: " if len(old) > 1 else ""
                changed.setdefault(item.path, []).extend(f"{by}{vote[name].word}" for vote in (old, new))
    return changed


def _say(ours: Path, given: Sequence[Votes], votes: Sequence[Votes], changed: dict[str, list[str]]) -> None:
    missing, split = sum(not one for one in votes), sum(map(disagree, votes))
    replaced = f" ({counted(len(changed), 'former label')} replaced)" if changed else ""
    disagreed = f"; annotators disagree about {counted(split, 'image')}, which `fit` lists" if split else ""
    count = sum(map(bool, given))
    say(f"{count} of {counted(len(given), 'label')} copied into {ours}{replaced}; {_then(missing)}{disagreed}")


def _then(missing: int) -> str:
    """Say how many labels are missing, or how the run goes on."""
    if missing:
        return f"{missing} {'is' if missing == 1 else 'are'} still missing"
    return "all are there: the same `fit` command resumes the run"


def _only_writer(run: Path) -> DirectoryLock:
    """Lock the run, so that no ``fit`` reads and no other ``label`` writes the file meanwhile."""
    lock = DirectoryLock(run / "lock")
    try:
        lock.acquire()
    except OSError as error:
        raise RunError(f"cannot write into '{run}' ({error.strerror}): make room or give it back to you") from None
    return lock
