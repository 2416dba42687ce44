"""Outputs that stay where they are: strategies read some rows at a time."""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor


class Rows(Protocol):
    """Rows that a strategy reads a block at a time. A tensor is one too."""

    @property
    def shape(self) -> Sequence[int]:
        """(N, D)."""

    @property
    def device(self) -> torch.device:
        """Device of the rows that are read."""

    def __len__(self) -> int:
        """N."""

    def __getitem__(self, rows: slice | Tensor) -> Tensor:
        """Read rows: a slice, or (M,) int64 on the device, to (M, D) float32."""


class RowSource(Protocol):
    """An output of the images of a dataset, in a file or in an array."""

    @property
    def shape(self) -> Sequence[int]:
        """(N, D), with N images in the dataset."""

    @property
    def device(self) -> torch.device:
        """Device of the rows that are read."""

    def at(self, index: Tensor) -> Tensor:
        """Read the rows of images: (M,) int64 dataset indices, on the CPU, to (M, D) float32."""


class IndexedRows:
    """The rows of some images of a source; nothing is copied before it is read.

    Args:
        source: the rows of all images.
        index: (N,) int64 dataset indices, on the CPU.
    """

    def __init__(self, source: RowSource, index: Tensor) -> None:
        self._source, self._index = source, index
        self.shape = (len(index), *source.shape[1:])
        self.device = source.device

    def __len__(self) -> int:
        return len(self._index)

    def __getitem__(self, rows: slice | Tensor) -> Tensor:
        return self._source.at(self._index[rows if isinstance(rows, slice) else rows.cpu()])
