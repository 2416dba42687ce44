"""Mean standard deviation."""

from torch import Tensor

from msal_lightning.strategies.base import MCUncertainty, mean_over_passes
from msal_lightning.strategies.outputs import PoolOutputs


class MeanSTD(MCUncertainty):
    """Images whose probabilities vary most over dropout passes: standard deviation over passes, mean over classes.

    [0] Kampffmeyer, Salberg and Jenssen, 2016, Semantic Segmentation of Small Objects and Modeling of Uncertainty in
    Urban Remote Sensing Images Using Deep Convolutional Neural Networks, CVPR Workshops
    """

    def score(self, pool: PoolOutputs, seed: int) -> Tensor:  # noqa: D102
        probabilities = pool.mc_probabilities()
        variance = mean_over_passes((probabilities - mean_over_passes(probabilities)).square())
        return variance.sqrt().mean(dim=-1)
