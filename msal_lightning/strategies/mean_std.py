"""Mean standard deviation."""

from torch import Tensor

from msal_lightning.pool import PoolOutputs
from msal_lightning.strategies.base import MCUncertainty


class MeanSTD(MCUncertainty):
    """Images whose probabilities vary most over dropout passes: standard deviation over passes, mean over classes.

    [0] Kampffmeyer, Salberg and Jenssen, 2016, Semantic Segmentation of Small Objects and Modeling of Uncertainty in
    Urban Remote Sensing Images Using Deep Convolutional Neural Networks, CVPR Workshops
    """

    def score(self, pool: PoolOutputs, seed: int) -> Tensor:  # noqa: D102
        return pool.mc_probabilities().std(dim=0, correction=0).mean(dim=-1)
