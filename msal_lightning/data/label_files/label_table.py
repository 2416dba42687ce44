"""Files with a label in each line: reading, and what they have in common."""

import csv
import io
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from msal_lightning.errors import DataError
from msal_lightning.io.csv_cells import unguard
from msal_lightning.io.regular_file import LARGEST_TABLE, TooLargeError, read_regular
from msal_lightning.io.wording import counted

CLASS_NAME = "class_name"
"""Column of a ledger, beside the class number in the column label."""
_MORE = "more fields than columns"
_SHOWN = 5  # wrong lines that a message shows


class Line(NamedTuple):
    """A line of a table, or an entry of another file.

    Attributes:
        number: of the line in the file, from 1.
        fields: by column, without spaces around them.
        has_more: whether it has more fields than the first line.
        unit: what is counted, in messages.
    """

    number: int
    fields: dict[str, str]
    has_more: bool = False
    unit: str = "line"

    @property
    def where(self) -> str:
        """``line 3``."""
        return f"{self.unit} {self.number}"

    @property
    def damage(self) -> str:
        """Why the line cannot be used, whatever its fields mean; empty if it can."""
        if self.has_more:
            return f"{self.where}: it has more fields than the first line: put quotes around commas"
        if any("\0" in self.fields.get(name, "") for name in ("path", "label")):
            return f"{self.where}: path or label has NUL bytes"
        return ""

    @property
    def wrong_split(self) -> str:
        """Why the column split has no meaning; empty if it has, or is blank."""
        split = self.fields.get("split", "")
        return "" if split in ("", "train", "test") else f"{self.where}: split '{split}' is neither train nor test"


def read_table(
    file: Path, needed: Sequence[str], where: str, instead: Mapping[str, str] | None = None
) -> tuple[list[str], list[Line]]:
    """Read a CSV file whose first line has the names of the columns.

    Args:
        file: the file.
        needed: columns that it must have.
        where: the file in messages.
        instead: another column that makes up for a missing one.

    Returns:
        The columns, and all other lines.

    Raises:
        DataError: the file cannot be read, or lacks a column.
    """
    names = " and ".join(needed)
    try:
        text = read_regular(file, LARGEST_TABLE).decode("utf-8-sig")
        # strict: an open quote would swallow lines
        reader = csv.DictReader(io.StringIO(text, newline=""), restkey=_MORE, strict=True)
        columns = [(name or "").strip() for name in reader.fieldnames or []]
        reader.fieldnames = columns
        if not all(name in columns or (instead or {}).get(name) in columns for name in needed):
            raise DataError(
                f"expected the {'columns' if len(needed) > 1 else 'column'} {names} in {where}, got "
                f"{', '.join(columns) or 'none'}: write them into the first line"
            )
        lines = [Line(reader.line_num, {key: _field(row, key) for key in columns}, _MORE in row) for row in reader]
    except (OSError, TooLargeError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"cannot read {where} ({error}): set it to a CSV file with {names}") from None
    return columns, lines


def refuse_lines(wrong: Sequence[str], where: str, unit: str = "line") -> None:
    """Raise an error that names the first wrong lines, if there are any.

    Raises:
        DataError: there are some.
    """
    if wrong:
        rest = f"; and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        shown = "; ".join(wrong[:_SHOWN]) + rest
        raise DataError(f"found {counted(len(wrong), unit)} of {where} wrong ({shown}): correct them")


def number_of_class(label: str, names: Collection[str]) -> bool:
    """Return whether a label is the number of a class, although the classes have names.

    Args:
        label: the label.
        names: names of the known classes; numbers are fine if one of them is a number.
    """
    return label.isdecimal() and bool(names) and not any(name.isdecimal() for name in names)


def refuse_class_numbers(labels: Iterable[str], names: Sequence[str], where: str) -> None:
    """Raise an error if labels are numbers of classes, although the classes have names.

    Args:
        labels: the labels.
        names: names of the known classes.
        where: the file in messages.

    Raises:
        DataError: one is a number.
    """
    if number := next((label for label in labels if number_of_class(label, names)), None):
        raise DataError(
            f"expected names of classes in {where}, such as '{names[0]}', got the number '{number}': write the names; "
            "those of a run are written by `python -m msal_lightning labels RUN --out FILE`"
        )


def class_order(names: Iterable[str]) -> tuple[str, ...]:
    """Return names of classes in the order of their numbers: alphabetical, and 2 before 10."""
    ordered = sorted(names)
    return tuple(sorted(ordered, key=int)) if all(name.isdecimal() for name in ordered) else tuple(ordered)


def _field(row: dict[str, str], key: str) -> str:
    text = row[key] or ""
    return (unguard(text) if key == "label" else text).strip()
