"""Cells of CSV files that no spreadsheet runs.

A spreadsheet computes a cell that begins with ``=``, ``+``, ``-``, ``@``, a tab or a carriage return (OWASP, CSV
injection), some of them also behind spaces or quotes, or in their full-width forms. An apostrophe in front makes a text
of it. :func:`unguard` takes exactly that apostrophe away.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_RUN = re.compile(r"[\s'\"\ufeff\u200b\x00]*[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|-inf|-nan", re.ASCII)


def guard(cell: Any) -> Any:
    """A cell as it is written.

    Args:
        cell: text, or a value of another type, which stays as it is: a negative number runs nothing.
    """
    return f"'{cell}" if isinstance(cell, str) and is_run(cell) else cell


def unguard(text: str) -> str:
    """A cell that was read, as it was before :func:`guard`."""
    return text[1:] if text.startswith("'") and is_run(text[1:]) else text


def is_run(text: str) -> bool:
    """Whether a spreadsheet would compute a text."""
    return _RUN.match(text) is not None and not _NUMBER.fullmatch(text)


def guard_path(path: str) -> str:
    """A path as it is written: the same file, but no formula."""
    return f"./{path}" if is_run(path) else path


def table(rows: Sequence[Mapping[str, Any]], columns: Iterable[str] = ()) -> str:
    """Rows as the text of a CSV file, all cells guarded; None becomes an empty field.

    Args:
        rows: column to value; a column ``path`` holds paths.
        columns: in order; those of the rows by default.
    """
    names = list(columns) or list(dict.fromkeys(name for row in rows for name in row))
    cells = ([guard_path(row[name]) if _is_path(name, row) else guard(row.get(name)) for name in names] for row in rows)
    return "".join(",".join(map(_quoted, line)) + "\n" for line in (map(guard, names), *cells))


def _quoted(cell: Any) -> str:
    """As csv.writer, which leaves a lone carriage return unquoted that csv.reader takes for a line end."""
    text = "" if cell is None else str(cell)
    return '"' + text.replace('"', '""') + '"' if any(c in text for c in '",\r\n') else text


def _is_path(name: str, row: Mapping[str, Any]) -> bool:
    return name == "path" and isinstance(row.get(name), str)
