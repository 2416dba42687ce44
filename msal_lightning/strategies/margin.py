"""Margin sampling."""

from torch import Tensor

from msal_lightning.strategies.base import ProbabilityUncertainty


class Margin(ProbabilityUncertainty):
    """Images whose two most probable classes are closest: ``1 - (p₁ - p₂)``.

    [0] Balcan, Broder and Zhang, 2007, Margin Based Active Learning, COLT
    """

    def of(self, probabilities: Tensor) -> Tensor:  # noqa: D102
        first, second = probabilities.topk(2, dim=-1).values.unbind(dim=-1)
        return 1 - (first - second)
