"""The files of one shard: pieces while it is computed, then its features and a list of what was left out.

Each file is complete or absent. The rows of a piece begin where those of the piece before it end, so a resumed run
computes nothing twice but the batches since the last piece.
"""

import json
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from msal_lightning.io.atomic import atomic_file, write_atomically
from msal_lightning.io.json_files import read_json

WORK = "unfinished"
"""Folder of the pieces, and of what is known about finished shards."""
FILES = (rf"{WORK}/\d+\.json", rf"{WORK}/\d+-\d+\.npz", r"features-\d+\.npy")
"""See :mod:`~msal_lightning.io.own_files`."""


class Skipped(NamedTuple):
    """An image without features.

    Attributes:
        row: its row in the source.
        reason: why it cannot be read.
    """

    row: int
    reason: str


@dataclass
class Piece:
    """Features of some rows that follow each other.

    Attributes:
        start: the first row.
        stop: the row after the last one.
        parts: features of each batch, (B, D), without damaged images.
        skipped: the damaged images.
    """

    start: int
    stop: int
    parts: list[NDArray[Any]] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)


class Shard:
    """Rows of the source that end up in one file.

    Args:
        out: the folder of the features; its folder for pieces exists.
        number: number of the shard.
        name: name of its file.
        start: the first row.
        stop: the row after the last one.
    """

    def __init__(self, out: Path, number: int, name: str, start: int, stop: int) -> None:
        self.file, self.name, self.start, self.stop, self.number = out / name, name, start, stop, number
        self._work = out / WORK
        self._record = self._work / f"{number}.json"

    def result(self) -> tuple[int, list[Skipped]] | None:
        """Return the number of features and the damaged images; None if the shard is not finished."""
        try:
            known = read_json(self._record)
        except FileNotFoundError:
            return None
        return known["rows"], [Skipped(*one) for one in known["skipped"]]

    def done(self) -> int:
        """Return the first row that no piece has."""
        row = self.start
        while (piece := self._file_of(row)).exists():
            try:
                row = _load(piece).stop
            except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):  # computed again
                break
        return row

    def save(self, piece: Piece) -> None:
        """Write a piece; the one before it is there."""
        about = {"start": piece.start, "stop": piece.stop, "skipped": piece.skipped}
        with atomic_file(self._file_of(piece.start)) as file:
            np.savez(file, about=json.dumps(about), features=np.concatenate(piece.parts))

    def finish(self, last: Piece) -> None:
        """Write the features of all rows, and remove the pieces.

        Args:
            last: the rows that no file has; there may be none.
        """
        pieces, row = list[Piece](), self.start
        while row < last.start:
            pieces.append(_load(self._file_of(row)))
            row = pieces[-1].stop
        pieces.append(last)
        parts = [part for piece in pieces for part in piece.parts]
        count = sum(map(len, parts))
        if count:
            with atomic_file(self.file) as file:
                about = {"descr": np.lib.format.dtype_to_descr(parts[0].dtype), "fortran_order": False}
                np.lib.format.write_array_header_1_0(file, {**about, "shape": (count, parts[0].shape[1])})
                file.writelines(np.ascontiguousarray(part).data for part in parts)
        skipped = [one for piece in pieces for one in piece.skipped]
        write_atomically(self._record, json.dumps({"rows": count, "skipped": skipped}))
        self.remove_pieces()

    def remove_pieces(self) -> None:
        """Remove the pieces of a finished shard."""
        for piece in self._work.glob(f"{self.number}-*.npz"):
            piece.unlink(missing_ok=True)

    def _file_of(self, start: int) -> Path:
        return self._work / f"{self.number}-{start}.npz"


def _load(file: Path) -> Piece:
    with np.load(file, allow_pickle=False) as content:
        about = json.loads(str(content["about"]))
        features = content["features"]
    return Piece(about["start"], about["stop"], [features], [Skipped(*one) for one in about["skipped"]])
