"""Variation ratio."""

from torch import Tensor

from msal_lightning.strategies.base import MCUncertainty
from msal_lightning.strategies.outputs import PoolOutputs


class VariationRatio(MCUncertainty):
    """Images on which most dropout passes vote against the winner: ``1 - votes of the commonest class / T``.

    The score has T values at most, so ties are common; they break by lower index.

    [0] Freeman, 1965, Elementary Applied Statistics
    """

    def score(self, pool: PoolOutputs, seed: int) -> Tensor:  # noqa: D102
        votes = pool.require("mc_logits").argmax(dim=-1)  # (T, N)
        commonest = votes.mode(dim=0).values
        return 1 - (votes == commonest).float().mean(dim=0)
