"""Where curves first reach an accuracy."""

import numpy as np
from numpy.typing import NDArray


def all_first_reached(
    curves: NDArray[np.float64], target: NDArray[np.float64], labels: NDArray[np.float64] | NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the number of labels at which each of B curves first reaches its target; inf where it does not.

    Args:
        curves: (B, R) accuracies in each round, linear between them. A curve that starts above its target needs the
            labels of its first round.
        target: (B, 1) or (1, 1).
        labels: (R,) numbers of labels, rising.

    Returns:
        (B,) numbers of labels.
    """
    is_reached = curves >= target
    after = is_reached.argmax(axis=1)
    before = np.maximum(after - 1, 0)
    each = np.arange(len(curves))
    below, above = curves[each, before], curves[each, after]
    rise = np.where(above > below, above - below, 1.0)
    share = np.where(after > before, (target[:, 0] - below) / rise, 0.0)
    found: NDArray[np.float64] = labels[before] + share * (labels[after] - labels[before])
    return np.where(is_reached.any(axis=1), found, np.inf)
