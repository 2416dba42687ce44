"""Entropy sampling."""

import torch
from torch import Tensor

from msal_lightning.strategies.base import ProbabilityUncertainty


class Entropy(ProbabilityUncertainty):
    """Images whose predicted distribution has the highest entropy, in nats: ``-Σ p ln p``.

    [0] Shannon, 2001 (1948), A Mathematical Theory of Communication
    """

    def of(self, probabilities: Tensor) -> Tensor:  # noqa: D102
        entropies: Tensor = torch.special.entr(probabilities)  # entr(0) = 0, where p·log(p) would be NaN
        return entropies.sum(dim=-1)
