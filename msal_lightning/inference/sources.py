"""New images, or new features, in one order: what ``predict`` computes rows of."""

import hashlib
import os
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from msal_lightning.data.features.feature_files import FeatureRows
from msal_lightning.data.images.decoding import Decoding
from msal_lightning.data.images.formats import HEIF_SUFFIXES, UNREADABLE, can_read_heif
from msal_lightning.embed.reading import Batch, read_batches
from msal_lightning.errors import DataError


class NewImages(Protocol):
    """New images or features in one order.

    Attributes:
        column: name of the column that identifies a row of the results, path or row.
    """

    column: str

    def __len__(self) -> int:
        """Number of rows."""

    def name(self, row: int) -> str:
        """Return the path of an image, or the number of a row."""

    def batches(self, start: int, stop: int, size: int, workers: int, pin: bool) -> Generator[Batch]:
        """Yield batches of rows, see :class:`~msal_lightning.embed.sharded_rows.Source`."""

    def digest(self) -> str:
        """Hash what identifies the content: names, sizes and times of the files."""


class ImageList:
    """Image files.

    Args:
        names: the files in the results.
        files: their paths.
        how: how they are decoded.
    """

    column = "path"

    def __init__(self, names: Sequence[str], files: Sequence[str], how: Decoding) -> None:
        self._names, self._files, self.how = names, files, how

    def __len__(self) -> int:
        """Number of images."""
        return len(self._names)

    def name(self, row: int) -> str:
        """Return the path of an image as the results have it."""
        return self._names[row]

    def read(self, row: int) -> NDArray[np.uint8]:
        """Decode an image: (C, size, size).

        Raises:
            DataError: it cannot be read.
        """
        return decoded(self._files[row], self.how)

    def batches(self, start: int, stop: int, size: int, workers: int, pin: bool) -> Generator[Batch]:
        """Decode images in threads, see :func:`~msal_lightning.embed.reading.read_batches`."""
        return read_batches(self, start, stop, size, workers, pin)

    def digest(self) -> str:
        """Hash names, sizes and times of the files."""
        return _digest(self._names, self._files)


class FeatureList:
    """Rows of files of features.

    Args:
        names: the images behind the rows; None if unknown.
        files: the files.
        rows: their rows.
    """

    def __init__(self, names: Sequence[str] | None, files: Sequence[Path], rows: FeatureRows) -> None:
        self.column = "row" if names is None else "path"
        self._names, self._files, self._rows = names, files, rows

    def __len__(self) -> int:
        """Number of rows."""
        return self._rows.shape[0]

    def name(self, row: int) -> str:
        """Return the image behind a row, or the number of the row."""
        return str(row) if self._names is None else self._names[row]

    def batches(self, start: int, stop: int, size: int, workers: int, pin: bool) -> Generator[Batch]:
        """Yield rows in the order of the files; features that are not finite count as damaged."""
        for first in range(start, stop, size):
            index = torch.arange(first, min(first + size, stop))
            features = self._rows[index].flatten(1)
            bad = index[~features.isfinite().all(1)].tolist()
            yield Batch(first, features, dict.fromkeys(bad, "the features have NaN or infinity"))

    def digest(self) -> str:
        """Hash names of rows, and names, sizes and times of the files."""
        return _digest([*map(str, self._files), *(self._names or ())], [*map(str, self._files)])


def decoded(file: str, how: Decoding) -> NDArray[np.uint8]:
    """Decode an image file: (C, size, size).

    Raises:
        DataError: the reason why it cannot be read.
    """
    try:
        return how.decode(file)
    except FileNotFoundError:
        raise DataError("there is no such file") from None
    except UNREADABLE as error:
        if Path(file).suffix.lower() in HEIF_SUFFIXES and not can_read_heif():
            raise DataError("it needs the extra heif (pip install 'msal_lightning[heif]')") from None
        raise DataError(f"{' '.join(str(error).split()):.160}") from None


def _digest(names: Sequence[str], files: Sequence[str]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for name in names:
        digest.update(f"{name}\0".encode(errors="surrogateescape"))
    for file in files:
        try:
            found = os.stat(file)  # noqa: PTH116 - millions of them
            digest.update(f"{found.st_size} {found.st_mtime_ns}\n".encode())
        except OSError:
            digest.update(b"none\n")
    return digest.hexdigest()
