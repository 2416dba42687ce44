"""Cells of CSV files that no spreadsheet runs as formulas.

A spreadsheet computes a cell that begins with ``=``, ``+``, ``-``, ``@``, a tab or a carriage return (OWASP, CSV
injection); some spreadsheets also do so after spaces or quotes, or for full-width forms. An apostrophe in front turns
the cell into text. :func:`unguard` removes exactly that apostrophe.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_RUN = re.compile(r"[\s'\"\ufeff\u200b\x00]*[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|-inf|-nan", re.ASCII)


def guard(cell: Any) -> Any:
    """Guard a cell for writing.

    Args:
        cell: text; a value of another type is returned unchanged, because a negative number is no formula.
    """
    return f"'{cell}" if isinstance(cell, str) and is_run(cell) else cell


def unguard(text: str) -> str:
    """Undo :func:`guard` on a cell that was read."""
    return text[1:] if text.startswith("'") and is_run(text[1:]) else text


def is_run(text: str) -> bool:
    """Return whether a spreadsheet would compute a text."""
    return _RUN.match(text) is not None and not _NUMBER.fullmatch(text)


def guard_path(path: str) -> str:
    """Rewrite a path so that it names the same file but is no formula."""
    return f"./{path}" if is_run(path) else path


def table(rows: Sequence[Mapping[str, Any]], columns: Iterable[str] = ()) -> str:
    """Format rows as the text of a CSV file with guarded cells; None becomes an empty field.

    Args:
        rows: mappings from column to value; the column ``path`` holds paths.
        columns: columns in order; by default those of the rows.
    """
    names = list(columns) or columns_of(rows)
    return _line(map(guard, names)) + lines(rows, names)


def columns_of(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the columns of rows, in the order in which they first occur."""
    return list(dict.fromkeys(name for row in rows for name in row))


def lines(rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """Format rows as :func:`table` does, without the line of the columns."""
    return "".join(
        _line(guard_path(row[name]) if _is_path(name, row) else guard(row.get(name)) for name in columns)
        for row in rows
    )


def _line(cells: Iterable[Any]) -> str:
    return ",".join(map(_quoted, cells)) + "\n"


def _quoted(cell: Any) -> str:
    """Quote like csv.writer, and also a lone carriage return, which csv.reader would read as a line end."""
    text = "" if cell is None else str(cell)
    return '"' + text.replace('"', '""') + '"' if any(c in text for c in '",\r\n') else text


def _is_path(name: str, row: Mapping[str, Any]) -> bool:
    return name == "path" and isinstance(row.get(name), str)
