"""Distances between many embeddings, in blocks, so that memory does not grow with the product of their numbers."""

from collections.abc import Iterator

import torch
from torch import Tensor

from msal_lightning.strategies.rows import Rows

_BLOCK = 8_000_000  # distances at a time, 32 MB
TIE = 1e-12  # values that differ by less are equal: rounding in float64 leaves 1e-15, float32 rows differ by 1e-7


def blocks(num_rows: int, num_columns: int) -> Iterator[slice]:
    """Yield slices of rows that are small enough for a matrix of distances to all columns."""
    step = max(1, _BLOCK // max(1, num_columns))
    return (slice(start, start + step) for start in range(0, num_rows, step))


def nearest_rows(x: Rows, centers: Tensor) -> Tensor:
    """Return, for each center in turn, the nearest row that no earlier center took.

    Args:
        x: (N, D), read a block at a time; once, unless centers share a row.
        centers: (K, D), K at most N.

    Returns:
        (K,) int64 rows of x, none twice; ties by lower row.
    """
    taken = torch.zeros(len(x), dtype=torch.bool)
    nearest = _nearest_free(x, centers, taken)
    for k, row in enumerate(nearest.tolist()):
        if taken[row]:
            row = int(_nearest_free(x, centers[k : k + 1], taken))
        nearest[k] = row
        taken[row] = True
    return nearest


def _nearest_free(x: Rows, centers: Tensor, taken: Tensor) -> Tensor:
    """The nearest row to each center that is not taken; ties by lower row: (K,) int64."""
    least = torch.full((len(centers),), torch.inf)
    nearest = torch.zeros(len(centers), dtype=torch.int64)
    for part in blocks(len(x), max(centers.shape)):
        distance, row = torch.cdist(centers, x[part]).masked_fill_(taken[part], torch.inf).min(dim=1)
        is_nearer = distance < least
        least = torch.where(is_nearer, distance, least)
        nearest = torch.where(is_nearer, row + part.start, nearest)
    return nearest


def centered(x: Tensor) -> Tensor:
    """Shift rows to a mean of 0, in float32: distances stay equal and lose fewer digits to rounding."""
    return x.float() - mean_row(x)


def mean_row(x: Tensor) -> Tensor:
    """Return the mean of rows, (D,) float32; zeros without rows."""
    return x.float().sum(dim=0) / max(1, len(x))


def without_residue(distance: Tensor, square: Tensor) -> Tensor:
    """Set squared distances to 0 between copies, where the difference of rounded numbers leaves a residue.

    Otherwise a copy would look different from its original. A distance below a millionth of a row's length counts as 0;
    float32 rows cannot be told apart by less.

    Args:
        distance: (N,) float64, squared distances to the nearest center.
        square: (N,) float64, squared lengths of the rows.
    """
    return distance.masked_fill(distance <= 2 * TIE * square, 0.0)


def first_of_largest(values: Tensor) -> int:
    """Return the first row whose value is the largest; sums in another order, as on a GPU, do not change it.

    Args:
        values: (N,) float64, at least 0, or -inf for rows that are out.
    """
    return int((values >= values.max() * (1 - TIE)).nonzero()[0, 0])


def type_of_products() -> torch.dtype:
    """Return float32, unless the user allows products of float32 numbers to be rounded to fewer digits."""
    try:
        return torch.float32 if torch.get_float32_matmul_precision() == "highest" else torch.float64
    except RuntimeError:  # set by torch's newer switches
        return torch.float64
