"""A CSV file that grows, so that a round costs only its own rows."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from msal_lightning.io.atomic import open_unlinked, write_atomically
from msal_lightning.io.csv_cells import columns_of, lines, table
from msal_lightning.io.kill_points import kill_point


class GrowingTable:
    """A CSV file that is written whole once; later rows are appended.

    A kill may leave a part of the appended rows, and a power failure none of those since the last :meth:`sync`:
    :meth:`write` mends the file.

    Args:
        path: path of the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._columns: list[str] = []
        self._size = -1  # of the file as this object left it, in bytes

    def write(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write the whole table atomically, unless the file has it already."""
        text = table(rows)
        if not self.path.exists() or self.path.read_text(encoding="utf-8") != text:
            write_atomically(self.path, text)
        self._columns, self._size = columns_of(rows), self.path.stat().st_size

    def append(self, rows: Sequence[Mapping[str, Any]]) -> bool:
        """Append rows; return False, and write nothing, if the file has changed or lacks a column."""
        if self._size < 0 or not set(columns_of(rows)) <= set(self._columns):
            return False
        if not self.path.is_file() or self.path.stat().st_size != self._size:
            return False
        kill_point(f"append to {self.path.name}")
        with open(self.path, "ab", opener=open_unlinked) as file:
            file.write(lines(rows, self._columns).encode())
            self._size = file.tell()
        kill_point(f"appended to {self.path.name}")
        return True

    def sync(self) -> None:
        """Make the appended rows survive a power failure; rows that nobody appended need no call."""
        if self._size < 0 or not self.path.is_file():
            return
        with open(self.path, "ab", opener=open_unlinked) as file:
            os.fsync(file.fileno())
