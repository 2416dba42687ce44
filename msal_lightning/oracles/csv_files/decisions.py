"""The list of the images of a batch on which annotators disagree: a person decides where no label follows."""

from collections.abc import Sequence
from pathlib import Path

from msal_lightning.errors import AnnotationError
from msal_lightning.io.atomic import write_atomically
from msal_lightning.io.csv_cells import table, unguard
from msal_lightning.io.wording import counted
from msal_lightning.oracles.base import Annotation, LabelingBatch, LabelingTask
from msal_lightning.oracles.csv_files.csv_file import KnownClasses, Votes, plain_path, read_lines

COLUMNS = ("path", "votes", "label")
"""Columns of the list."""


def file_of(batch: LabelingBatch) -> Path:
    """Return the CSV file of the list; the page is beside it."""
    return batch.folder / f"{batch.name}-disagreements.csv"


def say_votes(votes: Votes) -> str:
    """Return ``anna: cat; ben: dog``."""
    return "; ".join(f"{name or 'unnamed'}: {vote.word}" for name, vote in votes.items())


def known_names(batch: LabelingBatch, votes: Sequence[Votes]) -> tuple[str, ...]:
    """Return the class names of a batch, and behind them the new ones that annotators named."""
    named = (vote.label for given in votes for vote in given.values() if vote.label is not None)
    return (*dict.fromkeys([*batch.class_names, *named]),)


def update_decisions(
    file: Path, items: Sequence[LabelingTask], votes: Sequence[Votes], labels: Sequence[Annotation | None]
) -> list[str]:
    """Write the list, and return the column label of each image.

    A label that a person filled in stays as long as the votes on its image do.

    Args:
        file: CSV file with the columns path, votes and label.
        items: images on which annotators disagree.
        votes: their annotations.
        labels: labels that follow from the votes; None where a person has to decide.

    Raises:
        AnnotationError: the file is there and cannot be read.
    """
    before = _read(file)
    rows = []
    for item, given, label in zip(items, votes, labels, strict=True):
        said, follows = say_votes(given), "" if label is None else label.word
        by_hand = before.get((plain_path(item.path), said))
        rows.append({"path": item.path, "votes": said, "label": by_hand or follows})
    text = table(rows, COLUMNS)
    if not file.exists() or file.read_text(encoding="utf-8") != text:
        write_atomically(file, text)
    return [row["label"] for row in rows]


def decisions(
    items: Sequence[LabelingTask], labels: Sequence[str], classes: KnownClasses
) -> tuple[list[Annotation | None], list[str]]:
    """Return the annotations that the column label means, and a sentence for each wrong one."""
    found, wrong = list[Annotation | None](), list[str]()
    for item, label in zip(items, labels, strict=True):
        try:
            found.append(classes.answer(label))
        except ValueError as error:
            wrong.append(f"'{item.path}': {error}")
    return found, wrong


def is_list(file: Path) -> bool:
    """Return whether a file is such a list, and not one of labels."""
    header, *_ = read_lines(file)
    return "votes" in header.fields


def take_over(file: Path, ours: Path, classes: KnownClasses) -> tuple[int, int]:
    """Copy the column label of a list that a person saved into the list of the run.

    Args:
        file: what the person saved; it may lack images.
        ours: the list of the run.
        classes: the classes that may be named.

    Returns:
        The number of labels that were copied, and of images that nobody has decided.

    Raises:
        AnnotationError: a label is no class, or the votes on an image are others by now. Nothing is written then.
    """
    given, known = {key: label for key, label in _read(file).items() if label}, _read(ours)
    wrong = [
        f"'{path}' has other votes in '{ours.name}', or is not in it: open its page again"
        for path, votes in given
        if (path, votes) not in known
    ]
    for (path, _), label in given.items():
        try:
            classes.answer(label)
        except ValueError as error:
            wrong.append(f"'{path}': {error}")
    if wrong:
        raise AnnotationError(
            f"{counted(len(wrong), 'line')} of '{file}' cannot be accepted, so no label was accepted: correct the file"
            + "".join(f"\n  {sentence}" for sentence in wrong)
        )
    merged = {**known, **given}
    rows = [{"path": path, "votes": votes, "label": label} for (path, votes), label in merged.items()]
    write_atomically(ours, table(rows, COLUMNS))
    return len(given), sum(not label for label in merged.values())


def _read(file: Path) -> dict[tuple[str, str], str]:
    """Return the column label by path and votes."""
    if not file.exists():
        return {}
    header, *lines = read_lines(file)
    found = {}
    for line in lines:
        fields = dict(zip(header.fields, line.fields, strict=False))
        key = plain_path(fields.get("path", "")), unguard(fields.get("votes", ""))
        found[key] = unguard(fields.get("label", "")).strip()
    return found
