"""Loss gradients at the last trainable layer, as their factors: no gradient is ever built."""

from typing import NamedTuple, Self

import torch
from torch import Tensor

from msal_lightning.strategies.rows import Rows
from msal_lightning.strategies.shared.distances import without_residue

_TOGETHER = 256  # distances of a row at a time, so that those of a thousand rows fit into a core's cache


class Gradients(NamedTuple):
    """Some gradients ``g = a hᵀ``, in float64.

    Attributes:
        a: (M, C), probabilities minus the predicted class.
        h: (M, D), embeddings.
        square: (M,), squared lengths.
    """

    a: Tensor
    h: Tensor
    square: Tensor

    def to_nearest(self, others: Self) -> Tensor:
        """Squared distances to the nearest of K other gradients, (M,); 0 to a copy."""
        nearest = torch.full_like(self.square, torch.inf)
        for start in range(0, len(others.square), _TOGETHER):
            a, h, square = (part[start : start + _TOGETHER] for part in others)
            distance = torch.addcmul(square, self.a @ a.T, self.h @ h.T, value=-2)
            nearest = torch.minimum(nearest, distance.amin(dim=1))
        return without_residue(nearest.add_(self.square), self.square)

    def cpu(self) -> "Gradients":
        """The same on the CPU."""
        return Gradients(*(part.cpu() for part in self))

    def of(self, row: int) -> "Gradients":
        """One of them, as (1, ...)."""
        return Gradients(*(part[row : row + 1] for part in self))


class PoolGradients:
    """The gradients of a pool, computed when they are asked for.

    Args:
        logits: (N, C), on the CPU: a softmax on another device has other last digits.
        embeddings: (N, D), on any device.
    """

    def __init__(self, logits: Tensor, embeddings: Rows) -> None:
        self._logits, self._embeddings = logits, embeddings

    def __len__(self) -> int:
        return len(self._logits)

    @property
    def width(self) -> int:
        """Numbers that stand for a gradient, C + D."""
        return self._logits.shape[1] + self._embeddings.shape[1]

    def at(self, rows: slice | Tensor) -> Gradients:
        """Gradients of some rows, on the device of the embeddings.

        Args:
            rows: a slice, or (M,) int64 on the CPU.
        """
        probabilities = self._logits[rows].float().softmax(dim=1)
        predicted = probabilities.argmax(dim=1, keepdim=True)
        a = probabilities.scatter_add_(1, predicted, torch.full(predicted.shape, -1.0)).double()
        h = self._embeddings[rows if isinstance(rows, slice) else rows.to(self._embeddings.device)].double()
        a = a.to(h.device)
        return Gradients(a, h, a.square().sum(dim=1) * h.square().sum(dim=1))
