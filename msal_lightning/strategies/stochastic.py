"""Stochastic batch acquisition: draw images by their score instead of taking the highest."""

import math
from abc import abstractmethod

import torch
from torch import Tensor

from msal_lightning.seeding import noise_of_rows
from msal_lightning.strategies.bald import BALD
from msal_lightning.strategies.base import ScoreStrategy, Uncertainty
from msal_lightning.strategies.outputs import PoolOutputs


class StochasticAcquisition(ScoreStrategy):
    """Draws images without replacement, each with a chance that grows with its uncertainty.

    The b best scores alone are often b copies of one image's trouble; noise spreads them. Adding Gumbel noise to the
    logarithm of a weight and taking the b highest is the same as drawing b times by weight without replacement.

    Args:
        uncertainty: any uncertainty.
        beta: the larger, the closer to taking the highest scores; above 0.

    Raises:
        ValueError: beta that is not positive.
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
        """Logarithm of how likely a row is drawn: (N,) to (N,)."""


class PowerAcquisition(StochasticAcquisition):
    """Draws images with a chance of ``uncertainty ** beta``; over BALD it is PowerBALD.

    [0] Kirsch et al., 2023, Stochastic Batch Acquisition: A Simple Baseline for Deep Active Learning, arXiv 2106.12059

    Args:
        uncertainty: any uncertainty.
        beta: the larger, the closer to taking the highest scores; above 0. 1 in the paper.

    Raises:
        ValueError: beta that is not positive.
    """

    def __init__(self, uncertainty: Uncertainty = BALD(), beta: float = 1.0) -> None:  # noqa: B008 - stateless
        super().__init__(uncertainty, beta)

    @property
    def name(self) -> str:
        """PowerBALD for example."""
        return f"Power{self.uncertainty.name}"

    def log_weight(self, uncertainty: Tensor) -> Tensor:  # noqa: D102
        # Where the model is certain the weight is 0: below that of every other row, and finite, so that the noise still
        # puts them in random order. The smallest float32 is e^-103. An uncertainty of NaN is not certain: it stays NaN.
        certain = uncertainty <= 0
        log = torch.where(certain, -104.0, uncertainty.double().log())
        return self.beta * log - torch.where(certain, 1000.0, 0.0)


class SoftmaxAcquisition(StochasticAcquisition):
    """Draws images with a chance of ``exp(beta · uncertainty)``; over BALD it is SoftmaxBALD.

    [0] Kirsch et al., 2023, Stochastic Batch Acquisition: A Simple Baseline for Deep Active Learning, arXiv 2106.12059

    Args:
        uncertainty: any uncertainty.
        beta: the larger, the closer to taking the highest scores; above 0. 1 by default.

    Raises:
        ValueError: beta that is not positive.
    """

    def __init__(self, uncertainty: Uncertainty = BALD(), beta: float = 1.0) -> None:  # noqa: B008 - stateless
        super().__init__(uncertainty, beta)

    @property
    def name(self) -> str:
        """SoftmaxBALD for example."""
        return f"Softmax{self.uncertainty.name}"

    def log_weight(self, uncertainty: Tensor) -> Tensor:  # noqa: D102
        return self.beta * uncertainty.double()
