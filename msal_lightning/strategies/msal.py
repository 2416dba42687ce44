"""Maximally separated active learning, the uncertainty measure."""

from torch import Tensor

from msal_lightning.models.prototypes import largest_cosine
from msal_lightning.strategies.base import Uncertainty
from msal_lightning.strategies.outputs import PoolOutputs


class MSAL(Uncertainty):
    """Images farthest in angle from their nearest prototype: ``1 - max_c cos_c`` (Eq. 2); prototype head only.

    With two classes every cosine is ±1 and the score is constant, so at least three classes are needed.

    [0] Kasarla et al., 2024, Maximally Separated Active Learning, arXiv 2411.17444, Eq. 2
    """

    needs_prototypes = True
    min_classes = 3

    def score(self, pool: PoolOutputs, seed: int) -> Tensor:  # noqa: D102
        return 1 - largest_cosine(pool.require("logits"))
