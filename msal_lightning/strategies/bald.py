"""Bayesian active learning by disagreement."""

import torch
from torch import Tensor

from msal_lightning.strategies.base import MCUncertainty, mean_over_passes
from msal_lightning.strategies.outputs import PoolOutputs


class BALD(MCUncertainty):
    """Images on which dropout passes, each sure of itself, disagree: ``H(mean p) - mean H(p)``, in nats.

    The mutual information between the prediction and the dropout mask, at most ``ln T``.

    [0] Gal, Islam and Ghahramani, 2017, Deep Bayesian Active Learning with Image Data, arXiv 1703.02910
    """

    def score(self, pool: PoolOutputs, seed: int) -> Tensor:  # noqa: D102
        probabilities = pool.mc_probabilities()
        # entr(0) = 0: passes that are certain of different classes disagree most, and must not become NaN
        of_mean = torch.special.entr(mean_over_passes(probabilities)).sum(dim=-1)
        mean_of = mean_over_passes(torch.special.entr(probabilities).sum(dim=-1))
        information: Tensor = of_mean - mean_of
        return information.clamp_min(0)  # rounding
