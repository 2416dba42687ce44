"""Batch active learning by diverse gradient embeddings."""

from torch import Generator, Tensor

from msal_lightning.strategies.base import Strategy
from msal_lightning.strategies.outputs import PoolOutputs
from msal_lightning.strategies.shared.gradients import PoolGradients
from msal_lightning.strategies.shared.kmeans_plus_plus import KMeansPlusPlus


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
    on_device = frozenset({"embeddings"})
    embeddings_by_rows = True

    def shortlist_size(self, n: int) -> None:  # noqa: D102
        return None

    def select(self, shortlist: PoolOutputs, labeled: PoolOutputs | None, n: int, generator: Generator) -> Tensor:  # noqa: D102
        pool = PoolGradients(shortlist.require("logits"), shortlist.embedding_rows())
        return KMeansPlusPlus(pool, generator).draw(n)
