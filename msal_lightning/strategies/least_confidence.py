"""Least confidence."""

from torch import Tensor

from msal_lightning.strategies.base import ProbabilityUncertainty


class LeastConfidence(ProbabilityUncertainty):
    """Images whose most probable class is least probable: ``1 - max p``.

    [0] Wang and Shang, 2014, A New Active Labeling Method for Deep Learning, IJCNN
    """

    def of(self, probabilities: Tensor) -> Tensor:  # noqa: D102
        return 1 - probabilities.amax(dim=-1)
