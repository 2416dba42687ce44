"""The part of the labeled set that decides how long to train."""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from msal_lightning.errors import DataError
from msal_lightning.seeding import derive_seed, noise_of_rows


def check_validation_fraction(fraction: float) -> None:
    """Check ``data.validation_fraction``.

    Raises:
        DataError: it is out of range.
    """
    if not 0 <= fraction < 1:
        raise DataError(
            f"expected data.validation_fraction to be at least 0 and below 1, got {fraction}: 0.2 is a usual value"
        )


def num_validation(fraction: float, num_labeled: int) -> int:
    """Number of labeled images to validate on, rounded down."""
    return math.floor(fraction * num_labeled + 1e-9)  # 0.29 * 100 is a little less than 29


def is_validation(fraction: float, seed: int, index: Tensor, labeled_at: Tensor, label: Tensor) -> Tensor:
    """Draw the validation part of a labeled set: as good as stratified, and the same images in all later rounds.

    The images stand in the order of their rounds, within a round by class, and within a class at random; of this
    order each (1 / fraction)-th image is drawn.

    Args:
        fraction: share to draw.
        seed: the run's seed.
        index: (n,) int64 of the labeled set, dataset-absolute.
        labeled_at: (n,) the round of each.
        label: (n,) the class of each.

    Returns:
        (n,) bool, True for :func:`num_validation` of them.
    """
    order = validation_order(seed, index, labeled_at, label)
    upto = np.floor(fraction * np.arange(len(index) + 1) + 1e-9)
    drawn = torch.zeros(len(index), dtype=torch.bool)
    drawn[torch.from_numpy(order)] = torch.from_numpy(upto[1:] > upto[:-1])
    return drawn


def validation_order(seed: int, index: Tensor, labeled_at: Tensor, label: Tensor) -> NDArray[np.int64]:
    """Return the order of :func:`is_validation` as positions in the labeled set, (n,)."""
    noise = noise_of_rows(derive_seed(seed, "split", 2), index)
    return np.lexsort((noise.numpy(), label.numpy(), labeled_at.numpy()))
