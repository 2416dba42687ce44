"""A test part that has a share of each class."""

import numpy as np
import torch
from numpy.typing import NDArray

from msal_lightning.errors import DataError


def hold_out(
    labels: NDArray[np.int64], names: tuple[str, ...], fraction: float, seed: int, what: str = "rows"
) -> NDArray[np.bool_]:
    """Draw a share of each class.

    Args:
        labels: (N,) numbers of classes.
        names: C names.
        fraction: share to draw, at least one row and at most all but one.
        seed: decides the draw.
        what: what the rows are, for messages.

    Returns:
        (N,) bool, the rows drawn.

    Raises:
        DataError: a class has one row only.
    """
    generator = torch.Generator().manual_seed(seed)
    drawn = np.zeros(len(labels), dtype=np.bool_)
    order = np.argsort(labels, kind="stable")
    ends = np.searchsorted(labels[order], np.arange(len(names) + 1))
    for name, first, last in zip(names, ends, ends[1:], strict=False):
        count = int(last - first)
        if count == 1:
            raise DataError(
                f"expected at least two {what} per class to hold out data.test_fraction, got one of '{name}': add "
                f"{what}, or give a data.test_root"
            )
        wanted = min(max(1, round(fraction * count)), count - 1)
        drawn[order[first:last][torch.randperm(count, generator=generator)[: max(0, wanted)].numpy()]] = True
    return drawn
