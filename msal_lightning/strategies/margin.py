"""Margin sampling."""

from torch import Tensor

from msal_lightning.pool import PoolOutputs
from msal_lightning.strategies.base import ScoreStrategy


class Margin(ScoreStrategy):
    """Images whose two most probable classes are closest: ``1 - (p₁ - p₂)``.

    [0] Balcan, Broder and Zhang, 2007, Margin Based Active Learning, COLT
    """

    def score(self, pool: PoolOutputs, seed: int) -> Tensor:  # noqa: D102
        first, second = pool.probabilities().topk(2, dim=-1).values.unbind(dim=-1)
        return 1 - (first - second)
