"""Decoding of image files: one, many at once, or on access."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import BinaryIO, TypeVar

import numpy as np
import psutil
import torch
from numpy.typing import NDArray
from rich.progress import Progress
from torch import Tensor

from msal_lightning.data.images.decoding import Decoding
from msal_lightning.data.images.formats import HEIF_SUFFIXES, UNREADABLE, can_read_heif
from msal_lightning.errors import DataError, UserError
from msal_lightning.io.console import shared_console
from msal_lightning.io.names import name_some as name_some

T = TypeVar("T")
R = TypeVar("R")


class ImageFiles:
    """Image files that behave like one tensor (N, C, size, size) uint8; indexing decodes the files.

    Args:
        paths: paths of the files.
        size: pixels of a side.
        channels: 3: RGB; 1: grey.
        how: what else there is to say about decoding; size and channels are taken from it.
    """

    dtype = torch.uint8

    def __init__(self, paths: Sequence[Path], size: int, channels: int, how: Decoding | None = None) -> None:
        self.paths = [str(path) for path in paths]
        self.how = how or Decoding(size, channels)
        self.size = self.how.size
        self.channels = self.how.channels

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, C, size, size)."""
        return len(self.paths), self.channels, self.size, self.size

    @property
    def num_bytes(self) -> int:
        """Size of the decoded images, in bytes."""
        return len(self.paths) * self.channels * self.size**2

    def __getitem__(self, index: Tensor) -> Tensor:
        """Decode the images at (B,) indices: (B, C, size, size).

        Raises:
            DataError: a file cannot be read.
        """
        images = torch.empty((len(index), *self.shape[1:]), dtype=torch.uint8)
        for place, row in enumerate(index.tolist()):
            images[place] = torch.from_numpy(self._decode(self.paths[row]))
        return images

    def load(self) -> Tensor:
        """Decode all: (N, C, size, size).

        Raises:
            DataError: a file cannot be read.
        """
        return decode_all(((path, path) for path in self.paths), len(self.paths), self.how)

    def readable(self) -> Tensor:
        """Try to decode every file: (N,) bool, True if it succeeds."""

        def can(path: str) -> bool:
            try:
                self._decode(path)
            except UserError:
                return False
            return True

        return torch.tensor([*in_threads(can, self.paths, len(self.paths), "checking images")], dtype=torch.bool)

    def _decode(self, path: str) -> NDArray[np.uint8]:
        return decode(path, path, self.how)


class Repeated:
    """A few images that stand for many, to measure how long these take.

    Args:
        images: (n, C, H, W) uint8.
        count: number of images that they stand for.
    """

    dtype = torch.uint8

    def __init__(self, images: Tensor, count: int) -> None:
        self._images = images
        self.shape = (count, *images.shape[1:])

    def __getitem__(self, index: Tensor) -> Tensor:
        """The images at (B,) indices, modulo their number."""
        return self._images[index % len(self._images)]


def decode_all(sources: Iterable[tuple[str, str | BinaryIO]], count: int, how: Decoding) -> Tensor:
    """Decode images straight into one tensor.

    Args:
        sources: name, and path or open file, of each; read as they are needed.
        count: how many.
        how: size, channels and the rest.

    Returns:
        (count, C, size, size) uint8.

    Raises:
        DataError: one cannot be read.
    """
    images = torch.empty((count, how.channels, how.size, how.size), dtype=torch.uint8)

    def one(source: tuple[str, str | BinaryIO]) -> NDArray[np.uint8]:
        return decode(*source, how)

    for row, image in enumerate(in_threads(one, sources, count, "reading images")):
        images[row] = torch.from_numpy(image)
    return images


def in_threads(work: Callable[[T], R], items: Iterable[T], count: int, what: str) -> Iterator[R]:
    """Results in order, with a progress bar; the decoders of Pillow let other threads run."""
    console = shared_console()
    with (
        ThreadPoolExecutor(os.cpu_count()) as pool,
        Progress(console=console, transient=True, disable=not console.is_terminal) as progress,
    ):
        task = progress.add_task(what, total=count)
        for part in batched(items, 512):
            yield from pool.map(work, part)
            progress.advance(task, len(part))


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of that many items, the last one shorter."""
    iterator = iter(items)
    while part := list(islice(iterator, size)):
        yield part


def decode(name: str, source: str | BinaryIO, how: Decoding) -> NDArray[np.uint8]:
    """Read an image, turned upright and made a square: (C, size, size) uint8.

    Args:
        name: for the error message.
        source: path or open file.
        how: size, channels and the rest.

    Raises:
        DataError: it is no image, or damaged.
    """
    try:
        return how.decode(source)
    except UNREADABLE as error:
        remedy = "replace or delete it, or set data.on_error to skip" if isinstance(source, str) else "fetch it again"
        if Path(name).suffix.lower() in HEIF_SUFFIXES and not can_read_heif():
            remedy = "install the extra heif (pip install 'msal_lightning[heif]')"
        raise DataError(f"cannot read the image '{name}' ({' '.join(str(error).split()):.120}): {remedy}") from None


def free_memory() -> int:
    """Bytes of memory that are free or can be freed at once."""
    return int(psutil.virtual_memory().available)
