"""Batch active learning by diverse gradient embeddings."""

import torch
from torch import Generator, Tensor

from msal_lightning.strategies.base import Strategy
from msal_lightning.strategies.outputs import PoolOutputs


class BADGE(Strategy):
    """Images whose loss gradients at the last trainable layer are large and unlike each other: k-means++ over them.

    The gradient of image i is the outer product of ``a = softmax(o) - onehot(argmax o)`` and its embedding h, so
    ``⟨g_i, g_j⟩ = ⟨a_i, a_j⟩ · ⟨h_i, h_j⟩`` and none of them is ever built. On the prototype head the trainable layer
    lies below the prototypes, which multiplies every product by the same constant, since a sums to zero and
    ``PᵀP = rho² · (C·I - 1)/(C-1)``.

    The first image is the one with the largest gradient, as in the authors' code; the next ones are drawn with
    probability proportional to their squared distance to the nearest chosen one. No image is drawn twice.

    [0] Ash et al., 2020, Deep Batch Active Learning by Diverse, Uncertain Gradient Lower Bounds, arXiv 1906.03671
    """

    needs = frozenset({"logits", "embeddings"})

    def shortlist_size(self, n: int) -> None:  # noqa: D102
        return None

    def select(self, shortlist: PoolOutputs, labeled: PoolOutputs | None, n: int, generator: Generator) -> Tensor:  # noqa: D102
        h = shortlist.require("embeddings").float()
        a = shortlist.probabilities()
        a.scatter_add_(1, a.argmax(dim=1, keepdim=True), torch.full((len(a), 1), -1.0))
        square = a.square().sum(dim=1) * h.square().sum(dim=1)  # ‖g‖²
        distance = torch.full_like(square, torch.inf)
        picks = torch.empty(n, dtype=torch.int64)
        for i in range(n):
            picks[i] = row = _draw(distance, picks[:i], generator) if i else int(square.argmax())
            to_row = square + (square[row] - 2 * (a @ a[row]) * (h @ h[row]))
            distance = torch.minimum(distance, to_row.clamp_min(0))
            distance[picks[: i + 1]] = 0  # rounding may leave a small distance
        return picks


def _draw(weight: Tensor, taken: Tensor, generator: Generator) -> int:
    """Draw a row with probability proportional to its weight; if all weights are 0, draw one that is not taken."""
    reached = weight.cumsum(dim=0, dtype=torch.float64)
    if not reached[-1] > 0:
        free = torch.ones(len(weight), dtype=torch.bool)
        free[taken] = False
        rows = free.nonzero()[:, 0]
        return int(rows[torch.randint(len(rows), (), generator=generator)])
    point = torch.rand((), generator=generator, dtype=torch.float64) * reached[-1]
    row = int(torch.searchsorted(reached, point, right=True))
    return row if row < len(weight) else int(weight.nonzero()[-1, 0])  # the product may round up to the total
