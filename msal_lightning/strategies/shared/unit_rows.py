"""Embeddings on the unit sphere, read some rows at a time."""

from typing import NamedTuple

import torch
from torch import Tensor

from msal_lightning.strategies.rows import Rows
from msal_lightning.strategies.shared.distances import blocks

_KEPT = (
    256_000_000  # bytes; a copy of few rows is kept, because scaling all rows costs more than a pass over the result
)


class UnitRow(NamedTuple):
    """Some rows of length 1: (M, D), and their squared lengths (M,): 1, or 0 for rows of zeros."""

    x: Tensor
    square: Tensor


class UnitRows:
    """Rows divided by their length; a row of zeros stays as it is. They stay where they are, unless they are few.

    Args:
        x: (N, D), on any device.
    """

    def __init__(self, x: Rows) -> None:
        self._x = x
        self.device = x.device
        self.width = x.shape[1]
        lengths = [x[part].double().norm(dim=1) for part in blocks(len(x), self.width)]
        self._length = torch.cat(lengths) if lengths else torch.empty(0, dtype=torch.float64, device=x.device)
        self._copies: dict[torch.dtype, Tensor] = {}

    def __len__(self) -> int:
        return len(self._length)

    def at(self, rows: slice | Tensor, dtype: torch.dtype) -> UnitRow:
        """Read rows: a slice, or (M,) int64 on the device."""
        length = self._length[rows]
        return UnitRow(
            self._copy(dtype)[rows] if self._is_small(dtype) else self._read(rows, dtype), (length > 0).to(dtype)
        )

    def _is_small(self, dtype: torch.dtype) -> bool:
        return len(self) * self.width * dtype.itemsize <= _KEPT

    def _copy(self, dtype: torch.dtype) -> Tensor:
        if dtype not in self._copies:
            copy = torch.empty(len(self), self.width, dtype=dtype, device=self.device)
            for part in blocks(len(self), self.width):
                copy[part] = self._read(part, dtype)
            self._copies[dtype] = copy
        return self._copies[dtype]

    def _read(self, rows: slice | Tensor, dtype: torch.dtype) -> Tensor:
        length = self._length[rows]
        return (self._x[rows].double() / length.masked_fill(length == 0, 1.0)[:, None]).to(dtype)
