"""Rows that are changed, or joined to others, when they are read."""

from collections.abc import Callable

import torch
from torch import Tensor

from msal_lightning.strategies.rows import Rows


class ChangedRows:
    """Rows on the CPU in float32, changed block by block.

    Args:
        rows: (N, D), on any device.
        change: of each block alone: (M, D) float32 to (M, D).
    """

    device = torch.device("cpu")

    def __init__(self, rows: Rows, change: Callable[[Tensor], Tensor]) -> None:
        self._rows, self._change = rows, change
        self.shape = rows.shape

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, rows: slice | Tensor) -> Tensor:
        return self._change(on_cpu(self._rows, rows))


class JoinedRows:
    """Rows of a tensor, then those of a pool, on the CPU in float32.

    Args:
        first: (M, D).
        rest: (N, D).
    """

    device = torch.device("cpu")

    def __init__(self, first: Tensor, rest: Rows) -> None:
        self._first, self._rest = first.cpu().float(), rest
        self.shape = (len(first) + len(rest), *rest.shape[1:])

    def __len__(self) -> int:
        return int(self.shape[0])

    def __getitem__(self, rows: slice | Tensor) -> Tensor:
        wanted = torch.arange(len(self))[rows] if isinstance(rows, slice) else rows
        is_first = wanted < len(self._first)
        found = torch.empty(len(wanted), *self.shape[1:])
        found[is_first] = self._first[wanted[is_first]]
        found[~is_first] = on_cpu(self._rest, wanted[~is_first] - len(self._first))
        return found


def on_cpu(x: Rows, rows: slice | Tensor) -> Tensor:
    """Read rows, wherever they are, to the CPU in float32: (M, D)."""
    return x[rows if isinstance(rows, slice) else rows.to(x.device)].float().cpu()
