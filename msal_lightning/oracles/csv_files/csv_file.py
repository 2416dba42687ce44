"""The CSV file of a labeling batch: written with blank labels, checked line by line when it is read."""

import csv
import io
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from msal_lightning.data.label_files.label_table import number_of_class
from msal_lightning.data.places import REASONS
from msal_lightning.errors import AnnotationError
from msal_lightning.io.atomic import write_atomically
from msal_lightning.io.csv_cells import table, unguard
from msal_lightning.io.regular_file import LARGEST_TABLE, TooLargeError, read_regular
from msal_lightning.io.suggestions import did_you_mean
from msal_lightning.io.wording import counted
from msal_lightning.oracles.base import Annotation, LabelingBatch

COLUMNS = ("path", "suggested", "score", "rank", "label")
ANNOTATOR = "annotator"
NAMED_COLUMNS = (*COLUMNS[:-1], ANNOTATOR, COLUMNS[-1])
"""Columns of a file that also says who gave a label."""
_DELIMITERS = (",", ";", "\t")  # spreadsheets use different delimiters by country


Votes = dict[str, Annotation]
"""What each annotator said about an image, by name; the name is blank if the file has none."""


def write_csv(
    batch: LabelingBatch, file: Path, answers: Sequence[Annotation | None] = (), annotator: str | None = None
) -> None:
    """Write the file of a batch atomically.

    Args:
        batch: the images to label.
        file: path of the file.
        answers: known annotations, one per image; labels are blank if left out.
        annotator: who fills in the file; None if nobody is named.
    """
    name = annotator or ""
    votes = [{} if answer is None else {name: answer} for answer in answers or [None] * len(batch.items)]
    write_votes(batch, file, votes, name)


def write_votes(batch: LabelingBatch, file: Path, votes: Sequence[Votes], annotator: str = "") -> None:
    """Write the file of a batch atomically, with a line for each vote.

    Args:
        batch: the images to label.
        file: path of the file.
        votes: annotations of each image.
        annotator: who labels the images without annotations; blank if nobody is named.
    """
    rows = rows_of(batch, votes, annotator)
    columns = NAMED_COLUMNS if any(row[ANNOTATOR] for row in rows) else COLUMNS
    write_atomically(file, table(rows, columns))


def rows_of(batch: LabelingBatch, votes: Sequence[Votes] = (), annotator: str = "") -> list[dict[str, Any]]:
    """Return the lines of the file of a batch, by column.

    Args:
        batch: the images to label.
        votes: as for :func:`write_votes`; none if left out.
        annotator: as for :func:`write_votes`.
    """
    rows = []
    for item, given in zip(batch.items, votes or [Votes() for _ in batch.items], strict=True):
        facts = {"path": item.path, "suggested": item.suggested, "score": item.score, "rank": item.rank}
        for name, vote in given.items() or [(annotator, None)]:
            rows.append({**facts, ANNOTATOR: name, "label": "" if vote is None else vote.word})
    return rows


def read_answers(
    batch: LabelingBatch, file: Path, allow_new_classes: bool = False, need_all: bool = True
) -> list[Annotation | None]:
    """Read and check a whole file of one annotator, see :func:`read_votes`.

    Returns:
        One annotation per image, in the order of the batch; None for a blank label and without a line.
    """
    return [next(iter(votes.values()), None) for votes in read_votes(batch, file, allow_new_classes, need_all)]


def annotators_in(file: Path) -> list[str]:
    """Return the names in the column annotator, in the order in which they occur; empty without such a column.

    Raises:
        AnnotationError: the file cannot be read.
    """
    header, *lines = read_lines(file)
    place = header.fields.index(ANNOTATOR) if ANNOTATOR in header.fields else None
    names = () if place is None else (_name(line.fields[place]) for line in lines if len(line.fields) > place)
    return [*dict.fromkeys(name for name in names if name)]


def read_votes(batch: LabelingBatch, file: Path, allow_new_classes: bool = False, need_all: bool = True) -> list[Votes]:
    """Read and check a whole file.

    Args:
        batch: the requested images.
        file: the filled file. Only the columns path and label are needed; a spreadsheet may have changed the delimiter
            and the order of columns and lines, and added a byte order mark. Several annotators of an image have a line
            each, with their names in the column annotator.
        allow_new_classes: whether labels may name new classes.
        need_all: whether the file must have a line for each image.

    Returns:
        The annotations of each image, in the order of the batch; none for a blank label.

    Raises:
        AnnotationError: lines are wrong; the message has a sentence for each.
    """
    header, *lines = read_lines(file)
    column = {name: place for place, name in enumerate(header.fields)}
    item_of = {plain_path(item.path): item for item in batch.items} | {item.path: item for item in batch.items}
    named = {plain_path(line.fields[column["path"]]) for line in lines if len(line.fields) > column["path"]}
    if lines and not named & item_of.keys():
        raise AnnotationError(
            f"expected the images of {batch.name} in '{file}', got none of them: it belongs to another round or run"
        )
    classes = KnownClasses(batch.class_names, allow_new_classes)
    first = dict[tuple[int, str], int]()  # line, by rank and annotator
    votes = {item.rank: Votes() for item in batch.items}
    wrong = list[str]()
    for line in lines:
        if len(line.fields) != len(header.fields):
            problem = f"expected {len(header.fields)} fields as in the first line, got {len(line.fields)}"
            wrong.append(f"line {line.number}: {problem}")
            continue
        path = line.fields[column["path"]]
        item = item_of.get(path.removeprefix("./")) or item_of.get(plain_path(path))
        if item is None:
            rank = line.fields[column["rank"]] if "rank" in column else ""
            wrong.append(f"line {line.number}: {_no_such_path(path, rank, batch, named)}")
            continue
        name = _name(line.fields[column[ANNOTATOR]]) if ANNOTATOR in column else ""
        if (item.rank, name) in first:
            wrong.append(f"line {line.number}: '{item.path}' is already in line {first[item.rank, name]}")
            continue
        first[item.rank, name] = line.number
        try:
            if vote := classes.answer(line.fields[column["label"]]):
                votes[item.rank][name] = vote
        except ValueError as error:
            wrong.append(f"line {line.number}: {error}")
    ranks = {rank for rank, _ in first}
    missing = [item.path for item in batch.items if item.rank not in ranks]
    if need_all and missing and not wrong:  # otherwise unreadable lines may be the missing ones
        end = (lines or [header])[-1].number + 1
        wrong = [f"line {end}: expected a line for '{path}', got none" for path in missing]
    if wrong:
        many = counted(len(wrong), "line")
        listed = "".join(f"\n  {sentence}" for sentence in wrong)
        raise AnnotationError(
            f"{many} of '{file}' cannot be accepted, so no label was accepted: correct these lines and run the same "
            f"command again{listed}"
        )
    return [votes[item.rank] for item in batch.items]


class FileLine(NamedTuple):
    """A line of a file: its number, and its fields."""

    number: int
    fields: list[str]


def read_lines(file: Path) -> list[FileLine]:
    """Return the lines of a file that are not blank; the first one has the column names, path and label among them.

    Raises:
        AnnotationError: the file cannot be read.
    """
    save = "save it as CSV in UTF-8 with the columns path and label"
    try:
        text = read_regular(file, LARGEST_TABLE).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise AnnotationError(
            f"expected UTF-8 text in '{file}', got the byte {error.object[error.start]:#04x}: {save}"
        ) from None
    except (OSError, TooLargeError) as error:
        why = getattr(error, "strerror", None) or error
        raise AnnotationError(
            f"cannot read '{file}' ({why}): give a CSV file with the columns path and label"
        ) from None
    if "\0" in text:
        raise AnnotationError(f"expected text in '{file}', got NUL bytes: {save}")
    first = next(iter(text.lstrip().splitlines()), "")
    found = [_fields(first, delimiter) for delimiter in _DELIMITERS]
    best = next((n for n, names in enumerate(found) if {"path", "label"} <= {*names}), None)
    if best is None:
        got = f"'{first.strip()[:60]}'" if first.strip() else "nothing"
        raise AnnotationError(
            f"expected the columns path and label in the first line of '{file}', got {got}: begin it with "
            f"{','.join(COLUMNS)}"
        )
    names = found[best]
    if twice := sorted({name for name in names if name and names.count(name) > 1}):
        raise AnnotationError(
            f"expected each column once in the first line of '{file}', got {twice[0]} twice: remove one of them"
        )
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_DELIMITERS[best], strict=True)
    lines, end = list[FileLine](), 0
    try:
        for fields in reader:
            if any(field.strip() for field in fields):
                lines.append(FileLine(end + 1, fields))
            end = reader.line_num
    except csv.Error as error:
        raise AnnotationError(
            f"cannot read '{file}' from line {end + 1} on ({error}): correct the quotes there, or {save}"
        ) from None
    lines[0] = FileLine(lines[0].number, names)
    return lines


def _fields(line: str, delimiter: str) -> list[str]:
    return [name.strip().lower() for name in next(csv.reader([line], delimiter=delimiter), [])]


def plain_path(path: str) -> str:
    """Normalize a path that a person or a spreadsheet may have rewritten."""
    return unicodedata.normalize("NFC", path).removeprefix("./")


def _no_such_path(path: str, rank: str, batch: LabelingBatch, named: set[str]) -> str:
    """Return why a path is wrong, using the rank in its line."""
    place = int(rank) if rank.strip().isascii() and rank.strip().isdecimal() else -1
    request = next((item.path for item in batch.items if item.rank == place), None)
    if request is not None and plain_path(request) not in named:
        return f"the path '{path}' was '{request}' in the labeling request: change it back"
    return f"'{path}' is not in the labeling request {batch.name}: remove the line"


class KnownClasses:
    """Turns fields of the column label into annotations.

    Args:
        names: names of the known classes.
        allow_new: whether new classes are allowed.
    """

    def __init__(self, names: Sequence[str], allow_new: bool) -> None:
        self._allow_new = allow_new
        self._by_text = {_text(name): name for name in names}
        self._names = tuple(self._by_text)

    def answer(self, field: str) -> Annotation | None:
        """Return the annotation in a field; None if the field is blank.

        Raises:
            ValueError: the field is wrong; the message says how.
        """
        text = _text(unguard(field))
        if not text:
            return None
        if text in self._by_text:
            return Annotation(self._by_text[text])
        if text in REASONS:
            return Annotation(None, text)
        folded = {known.casefold(): known for known in (*REASONS, *self._by_text)}
        if same := folded.get(text.casefold()):
            raise ValueError(f"the class '{text}' is not known: did you mean {same}?")
        if number_of_class(text, names := self._names):
            number = int(text)
            meant = f"class {number} is '{names[number]}'" if number < len(names) else f"'{names[0]}' for example"
            raise ValueError(f"'{text}' is the number of a class: write its name ({meant})")
        if self._allow_new:
            self._by_text[text] = text
            return Annotation(text)
        near = did_you_mean(text, [*self._by_text, *REASONS]) or ": correct it, or set oracle.allow_new_classes to true"
        raise ValueError(f"the class '{text}' is not known{near}")


def _name(annotator: str) -> str:
    return _text(unguard(annotator))


def _text(label: str) -> str:
    return unicodedata.normalize("NFC", label).replace("\r\n", "\n").strip()
