"""Batches of decoded images, a few ahead of the model."""

import math
from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from msal_lightning.data.images.decoding import Decoding
from msal_lightning.errors import DataError


class ImageRows(Protocol):
    """Images in one order, each decoded when it is needed."""

    how: Decoding

    def read(self, row: int) -> NDArray[np.uint8]:
        """Decode an image: (C, size, size).

        Raises:
            DataError: it cannot be read.
        """


class Batch(NamedTuple):
    """Decoded images.

    Attributes:
        start: row of the first one.
        images: (B, C, size, size) uint8; 0 for a damaged image.
        damaged: the reason for each row that cannot be read.
    """

    start: int
    images: Tensor
    damaged: dict[int, str]


def read_batches(
    rows: ImageRows, start: int, stop: int, size: int, workers: int, pin: bool = False
) -> Generator[Batch]:
    """Decode rows in threads; the decoders of Pillow let other threads run.

    Args:
        rows: the images.
        start: the first row.
        stop: the row after the last one.
        size: B; the last batch may be smaller.
        workers: number of threads. At most two batches more than they need are in memory.
        pin: put images into memory from which a GPU copies at once.

    Raises:
        RunError: a file is gone.
    """
    ahead = 1 + math.ceil(workers / size)
    waiting: deque[tuple[int, Tensor, list[Future[str | None]]]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for first in range(start, stop, size):
                waiting.append(_submit(pool, rows, first, min(first + size, stop), pin))
                if len(waiting) > ahead:
                    yield _finished(*waiting.popleft())
            while waiting:
                yield _finished(*waiting.popleft())
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _submit(
    pool: ThreadPoolExecutor, rows: ImageRows, start: int, stop: int, pin: bool
) -> tuple[int, Tensor, list[Future[str | None]]]:
    shape = (stop - start, rows.how.channels, rows.how.size, rows.how.size)
    images = torch.zeros(shape, dtype=torch.uint8, pin_memory=pin)
    into = images.numpy()
    return start, images, [pool.submit(_read, rows, row, into[row - start]) for row in range(start, stop)]


def _read(rows: ImageRows, row: int, into: NDArray[np.uint8]) -> str | None:
    """Decode an image to its place; return the reason if it cannot be read."""
    try:
        into[:] = rows.read(row)
    except DataError as error:
        return str(error)
    return None


def _finished(start: int, images: Tensor, futures: list[Future[str | None]]) -> Batch:
    reasons = [future.result() for future in futures]
    return Batch(start, images, {start + k: reason for k, reason in enumerate(reasons) if reason is not None})
