"""A digest of a split that follows each move, at the cost of the images that move."""

import numpy as np
from torch import Tensor

from msal_lightning.seeding import mix

_STEP = np.uint64(0x9E3779B97F4A7C15)


class SplitDigest:
    """The sum of one hash for each image with its place and its label, modulo 2⁶⁴, so the order of moves is free.

    Attributes:
        value: the sum.
    """

    def __init__(self) -> None:
        self.value = 0

    def add(self, index: Tensor, place: Tensor, label: Tensor) -> None:
        """Add images.

        Args:
            index: (n,) int64.
            place: (n,) int64, as in ``labeled_at``.
            label: (n,) int64, the known label.
        """
        self._change(1, index, place, label)

    def remove(self, index: Tensor, place: Tensor, label: Tensor) -> None:
        """Remove images that :meth:`add` has added."""
        self._change(-1, index, place, label)

    def _change(self, sign: int, *columns: Tensor) -> None:
        bits = np.zeros(len(columns[0]), dtype=np.uint64)
        for column in columns:
            bits = mix((bits ^ column.numpy().astype(np.uint64)) + _STEP)
        self.value = (self.value + sign * int(bits.sum())) % 2**64
