"""Distances between many embeddings, in blocks, so that memory does not grow with the product of their numbers."""

from collections.abc import Iterator

import torch
from torch import Tensor

_BLOCK = 8_000_000  # distances at a time, 32 MB


def blocks(num_rows: int, num_columns: int) -> Iterator[slice]:
    """Yield slices of rows that are small enough for a matrix of distances to all columns."""
    step = max(1, _BLOCK // max(1, num_columns))
    return (slice(start, start + step) for start in range(0, num_rows, step))


def distance_to_nearest(x: Tensor, centers: Tensor) -> Tensor:
    """Return the Euclidean distance of each row to its nearest center.

    Args:
        x: (N, D).
        centers: (K, D), K at least 1.

    Returns:
        (N,).
    """
    return torch.cat([torch.cdist(x[part], centers).amin(dim=1) for part in blocks(len(x), len(centers))])


def nearest_rows(x: Tensor, centers: Tensor) -> Tensor:
    """Return, for each center in turn, the nearest row that no earlier center took.

    Args:
        x: (N, D).
        centers: (K, D), K at most N.

    Returns:
        (K,) int64 rows of x, none twice; ties by lower row.
    """
    nearest = torch.cat([torch.cdist(centers[part], x).argmin(dim=1) for part in blocks(len(centers), len(x))])
    taken = torch.zeros(len(x), dtype=torch.bool)
    for k, row in enumerate(nearest.tolist()):
        if taken[row]:
            row = int(torch.cdist(centers[k : k + 1], x)[0].masked_fill(taken, torch.inf).argmin())
        nearest[k] = row
        taken[row] = True
    return nearest


def centered(x: Tensor) -> Tensor:
    """Shift rows to a mean of 0, in float32: distances stay equal and lose fewer digits to rounding."""
    return centered_together(x)[0]


def centered_together(*parts: Tensor) -> list[Tensor]:
    """Shift several sets of rows to a common mean of 0, with one copy of each.

    Args:
        parts: (N_i, D) each.
    """
    rows = sum(map(len, parts))
    mean = torch.stack([part.float().sum(dim=0) for part in parts]).sum(dim=0) / max(1, rows)
    return [part.float() - mean for part in parts]
