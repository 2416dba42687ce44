"""Entropy sampling."""

import torch
from torch import Tensor

from msal_lightning.pool import PoolOutputs
from msal_lightning.strategies.base import ScoreStrategy


class Entropy(ScoreStrategy):
    """Images whose predicted distribution has the highest entropy, in nats: ``-Σ p ln p``.

    [0] Shannon, 2001 (1948), A Mathematical Theory of Communication
    """

    def score(self, pool: PoolOutputs, seed: int) -> Tensor:  # noqa: D102
        entropies: Tensor = torch.special.entr(pool.probabilities())  # entr(0) = 0, where p·log(p) would be NaN
        return entropies.sum(dim=-1)
