"""Least confidence."""

from torch import Tensor

from msal_lightning.pool import PoolOutputs
from msal_lightning.strategies.base import ScoreStrategy


class LeastConfidence(ScoreStrategy):
    """Images whose most probable class is least probable: ``1 - max p``.

    [0] Wang and Shang, 2014, A New Active Labeling Method for Deep Learning, IJCNN
    """

    def score(self, pool: PoolOutputs, seed: int) -> Tensor:  # noqa: D102
        return 1 - pool.probabilities().amax(dim=-1)
