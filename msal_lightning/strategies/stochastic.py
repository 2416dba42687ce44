"""Stochastic batch acquisition: draw images by their score instead of selecting the highest scores."""

import math
from abc import abstractmethod

import torch
from torch import Tensor

from msal_lightning.seeding import noise_of_rows
from msal_lightning.strategies.bald import BALD
from msal_lightning.strategies.base import ScoreStrategy, Uncertainty
from msal_lightning.strategies.outputs import PoolOutputs


class StochasticAcquisition(ScoreStrategy):
    """Draws images without replacement, with a probability that grows with the uncertainty.

    The b best scores often belong to b similar images; noise spreads the selection. The b highest sums of log weight
    and Gumbel noise are the same as b draws by weight without replacement.

    Args:
        uncertainty: any uncertainty.
        beta: above 0; a larger value is closer to selecting the highest scores.

    Raises:
        ValueError: beta is not positive.
    """

    def __init__(self, uncertainty: Uncertainty, beta: float) -> None:
        if not 0 < beta < math.inf:
            raise ValueError(f"query.beta must be a number above 0, got {beta}: 1 is the paper's value")
        self.uncertainty = uncertainty
        self.beta = beta
        self._build_on(uncertainty)

    def score(self, pool: PoolOutputs, seed: int) -> Tensor:  # noqa: D102
        gumbel = -torch.log(-torch.log(noise_of_rows(seed, pool.index)))
        return (self.log_weight(self.uncertainty.score(pool, seed)) + gumbel).float()

    @abstractmethod
    def log_weight(self, uncertainty: Tensor) -> Tensor:
        """Return the logarithm of a row's weight: (N,) to (N,)."""


class PowerAcquisition(StochasticAcquisition):
    """Draws images with probability proportional to ``uncertainty ** beta``; with BALD it is PowerBALD.

    [0] Kirsch et al., 2023, Stochastic Batch Acquisition: A Simple Baseline for Deep Active Learning, arXiv 2106.12059

    Args:
        uncertainty: any uncertainty.
        beta: above 0; a larger value is closer to selecting the highest scores. 1 in the paper.

    Raises:
        ValueError: beta is not positive.
    """

    def __init__(self, uncertainty: Uncertainty = BALD(), beta: float = 1.0) -> None:  # noqa: B008 - stateless
        super().__init__(uncertainty, beta)

    @property
    def name(self) -> str:
        """PowerBALD for example."""
        return f"Power{self.uncertainty.name}"

    def log_weight(self, uncertainty: Tensor) -> Tensor:  # noqa: D102
        # A certain prediction has weight 0. Its logarithm here is finite but below that of every other row, so that
        # noise still orders such rows at random. The smallest float32 is e^-103. NaN stays NaN.
        certain = uncertainty <= 0
        log = torch.where(certain, -104.0, uncertainty.double().log())
        return self.beta * log - torch.where(certain, 1000.0, 0.0)


class SoftmaxAcquisition(StochasticAcquisition):
    """Draws images with probability proportional to ``exp(beta · uncertainty)``; with BALD it is SoftmaxBALD.

    [0] Kirsch et al., 2023, Stochastic Batch Acquisition: A Simple Baseline for Deep Active Learning, arXiv 2106.12059

    Args:
        uncertainty: any uncertainty.
        beta: above 0; a larger value is closer to selecting the highest scores. 1 by default.

    Raises:
        ValueError: beta is not positive.
    """

    def __init__(self, uncertainty: Uncertainty = BALD(), beta: float = 1.0) -> None:  # noqa: B008 - stateless
        super().__init__(uncertainty, beta)

    @property
    def name(self) -> str:
        """SoftmaxBALD for example."""
        return f"Softmax{self.uncertainty.name}"

    def log_weight(self, uncertainty: Tensor) -> Tensor:  # noqa: D102
        return self.beta * uncertainty.double()
