"""Variation ratio."""

from torch import Tensor

from msal_lightning.strategies.base import MCUncertainty
from msal_lightning.strategies.outputs import PoolOutputs


class VariationRatio(MCUncertainty):
    """Images whose dropout passes agree least: ``1 - votes of the most frequent class / T``.

    The score has at most T values, so ties are frequent; they go to the lower index.

    [0] Freeman, 1965, Elementary Applied Statistics
    """

    def score(self, pool: PoolOutputs, seed: int) -> Tensor:  # noqa: D102
        votes = pool.require("mc_logits").argmax(dim=-1)  # (T, N)
        commonest = votes.mode(dim=0).values
        return 1 - (votes == commonest).float().mean(dim=0)
