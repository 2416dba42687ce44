"""Forecast of a learning curve: how many more labels a run needs for an accuracy.

The error follows a power law of the number of labels n, ``error(n) = floor + scale · n^-exponent`` (Cortes et al.,
1993, Learning Curves: Asymptotic Values and Rate of Convergence, NeurIPS 6), and a round deviates from it by chance.
A grid of floors and exponents gets weights by Bayes' rule, with a conjugate prior for scale and noise (Gelman et al.,
2013, Bayesian Data Analysis, chapter 14). Draws from it continue the curve round by round. ``python -m
benchmarks.forecast`` chooses the priors and tests them; docs/forecast.md has the results.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from msal_lightning.stopping.first_reached import all_first_reached

FEWEST = 4
"""Rounds; fewer say too little about the bend of the curve."""
HORIZON = 3.0
"""A forecast ends at this number times the labels so far: the curves on which it was tested go that far."""
LEVEL = 0.8
"""Probability of an interval."""
_FLOORS = np.array([0.0, 0.15, 0.3, 0.45, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0])  # of the smallest error so far
_EXPONENTS = np.geomspace(0.05, 2.0, 16)
_TARGETS = (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.925, 0.95, 0.97, 0.98, 0.99, 0.995, 0.999)
_LEAST_ERROR = 0.01  # a curve without any error still varies from round to round

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Priors:
    """What is assumed before a curve is seen.

    Attributes:
        noise: standard deviation of a round, as a share of the smallest error so far.
        sampling: share of the variance of a finite test set that adds to it; all rounds share the test set, so that
            most of it moves them together.
        weight: number of rounds that the noise counts for.
        flat: the larger, the more a floor near the smallest error so far is expected.
        recent: round k weighs (k + 1) to this power.
        exponent: median of the exponent.
        spread: standard deviation of its logarithm.
    """

    noise: float = 0.02
    sampling: float = 0.3
    weight: float = 1.0
    flat: float = 1.0
    recent: float = 0.5
    exponent: float = 0.5
    spread: float = 0.5


@dataclass(frozen=True)
class LabelsTo:
    """The number of labels at which a run first reaches an accuracy.

    Attributes:
        target: the accuracy.
        low: lower end of the interval at :data:`LEVEL`; None means beyond the forecast.
        median: as probable above as below; None as above.
        high: upper end; None as above.
        probability: that the accuracy is reached within the forecast.
        horizon: number of labels at which the forecast ends.
    """

    target: float
    low: float | None
    median: float | None
    high: float | None
    probability: float
    horizon: int


class _Posterior(NamedTuple):
    """What is known after the rounds so far, for G pairs of floor and exponent, each (G,).

    Attributes:
        probability: of the pair.
        floor: error that no number of labels removes.
        exponent: how fast the error falls.
        scale: mean of the scale.
        precision: of the scale, in units of 1/noise².
        shape: of the gamma distribution of 1/noise².
        rate: of the same.
    """

    probability: Floats
    floor: Floats
    exponent: Floats
    scale: Floats
    precision: Floats
    shape: Floats
    rate: Floats


class CurveForecast:
    """Continuations of a curve, drawn from the posterior.

    Args:
        labels: number of labels in each round, rising; at least :data:`FEWEST`.
        accuracies: accuracy of each round.
        num_test: number of test images; None if unknown.
        priors: what is assumed beforehand.
        draws: number of continuations.
        seed: seed of the draws.
    """

    def __init__(
        self,
        labels: Sequence[int],
        accuracies: Sequence[float],
        num_test: int | None = None,
        priors: Priors = Priors(),
        draws: int = 2_000,
        seed: int = 0,
    ) -> None:
        self.labels = np.array(labels, dtype=np.float64)
        self.accuracies = np.array(accuracies, dtype=np.float64)
        step = max(1, labels[-1] - labels[-2])
        last = max(HORIZON * labels[-1], labels[-1] + step)
        self.ahead = labels[-1] + step * np.arange(1, int((last - labels[-1]) // step) + 1, dtype=np.float64)
        """Numbers of labels of the rounds to come, (H,)."""
        rng = np.random.default_rng(seed)
        self.curves = self._draw(self._posterior(num_test, priors), draws, rng)
        """Accuracies of the rounds to come, (draws, H)."""

    def _posterior(self, num_test: int | None, priors: Priors) -> _Posterior:
        error = 1.0 - self.accuracies
        smallest = float(error.min())
        sampled = float((error * (1 - error)).mean()) / num_test if num_test else 0.0
        noise = (priors.noise * max(smallest, _LEAST_ERROR)) ** 2 + priors.sampling * sampled
        share, exponent = (values.ravel() for values in np.meshgrid(_FLOORS, _EXPONENTS, indexing="ij"))
        x = (self.labels / self.labels[-1]) ** -exponent[:, None]  # (G, n)
        y = error - share[:, None] * smallest
        # deviations are shares of the error: a round that collapsed says less about the others
        weight = np.arange(1, len(error) + 1) ** priors.recent / np.maximum(error, _LEAST_ERROR) ** 2
        weight = weight / weight.mean()
        precision = (weight * x * x).sum(1)
        scale = (weight * x * y).sum(1) / precision
        residual = (weight * (y - scale[:, None] * x) ** 2).sum(1)
        shape = np.full_like(scale, (priors.weight + len(error) - 1) / 2)
        rate = (priors.weight * noise + residual) / 2
        log = -shape * np.log(rate) - 0.5 * np.log(precision)
        log += priors.flat * share - 0.5 * ((np.log(exponent) - math.log(priors.exponent)) / priors.spread) ** 2
        probability = np.exp(log - log.max())
        probability /= probability.sum()
        return _Posterior(probability, share * smallest, exponent, scale, precision, shape, rate)

    def _draw(self, found: _Posterior, draws: int, rng: np.random.Generator) -> Floats:
        chosen = rng.choice(len(found.probability), draws, p=found.probability)
        noise = np.sqrt(found.rate[chosen] / rng.gamma(found.shape[chosen]))
        scale = found.scale[chosen] + rng.standard_normal(draws) * noise / np.sqrt(found.precision[chosen])
        x = (self.ahead / self.labels[-1]) ** -found.exponent[chosen, None]
        errors: Floats = found.floor[chosen, None] + np.maximum(scale, 0.0)[:, None] * x
        spread = (errors / max(float((1 - self.accuracies).min()), _LEAST_ERROR)).clip(0, 1)
        self.expected = 1.0 - errors.mean(0)
        """Expected accuracies of the rounds to come, without their chance, (H,)."""
        self.expected_now = float((1.0 - found.floor[chosen] - np.maximum(scale, 0.0)).mean())
        """Expected accuracy of the last round, without its chance."""
        curves: Floats = 1.0 - errors + rng.standard_normal(errors.shape) * spread * noise[:, None]
        return curves

    def reached(self, target: float) -> Floats:
        """Return the number of labels at which each continuation first reaches an accuracy; inf where it never does.

        Args:
            target: an accuracy above those of all rounds so far; linear between rounds.
        """
        curves = np.concatenate([np.full((len(self.curves), 1), self.accuracies[-1]), self.curves], 1)
        labels = np.concatenate([self.labels[-1:], self.ahead])
        return all_first_reached(curves, np.array([[target]]), labels)


def labels_to(forecasts: Sequence[CurveForecast], target: float) -> LabelsTo:
    """Return when a run first reaches an accuracy, with its interval.

    Args:
        forecasts: of one run, or of runs that differ in their seed only, which count the same.
        target: the accuracy, below 1; a run that reached it already counts with the labels of that round.
    """
    found = np.concatenate([_reached(one, target) for one in forecasts])
    ends = np.quantile(found, [0.5 - LEVEL / 2, 0.5, 0.5 + LEVEL / 2], method="nearest")
    low, median, high = (float(end) if np.isfinite(end) else None for end in ends)
    horizon = min(int(one.ahead[-1]) for one in forecasts)
    return LabelsTo(target, low, median, high, float(np.isfinite(found).mean()), horizon)


def _reached(one: CurveForecast, target: float) -> Floats:
    before = one.accuracies >= target
    if before.any():
        return np.full(len(one.curves), one.labels[before.argmax()])
    return one.reached(target)


def forecast(labels: Sequence[int], accuracies: Sequence[float], num_test: int | None = None) -> CurveForecast | None:
    """Return the forecast of a curve; None for fewer than :data:`FEWEST` rounds."""
    return _forecast(tuple(labels), tuple(accuracies), num_test) if len(labels) >= FEWEST else None


@lru_cache(maxsize=64)  # `status` of a folder compares each run with the same runs of Random
def _forecast(labels: tuple[int, ...], accuracies: tuple[float, ...], num_test: int | None) -> CurveForecast:
    return CurveForecast(labels, accuracies, num_test)


def next_target(accuracies: Sequence[float]) -> float | None:
    """Return the next round accuracy above all of a run's; None above 0.999."""
    return next((target for target in _TARGETS if target > max(accuracies)), None)


def say_labels_to(found: LabelsTo, labels: int) -> str:
    """Return the sentence of a forecast.

    Args:
        found: the forecast.
        labels: number of labels so far.
    """
    name = f"{100 * found.target:g} % accuracy"
    chance = f"within {found.horizon - labels:,} more labels, where the forecast ends, its probability is"
    if found.low is None:
        return f"{name} is far: {chance} {found.probability:.0%}"
    low = _rounded(max(0.0, found.low - labels))
    if found.median is not None and found.median <= labels:
        return f"half of the seeds or more had {name} with {round(found.median):,} labels"
    if found.median is None:
        return f"{name} takes at least {low:,} more labels ({0.5 + LEVEL / 2:.0%}): {chance} {found.probability:.0%}"
    interval = f"{low:,} or more" if found.high is None else f"{low:,} to {_rounded(found.high - labels):,}"
    return f"about {_rounded(found.median - labels):,} more labels for {name} ({100 * LEVEL:g} % interval: {interval})"


def say_random_needed(found: LabelsTo) -> str:
    """Return the sentence on the labels that Random needs for the best accuracy of another run."""
    name = f"for the best accuracy so far, {found.target:.4f}"
    if found.low is None:
        return f"Random would need more than {found.horizon:,} labels {name}"
    low = f"{round(found.low):,}"
    if found.low == found.high:
        return f"Random needed {low} labels {name}"
    high = "more" if found.high is None else f"{round(found.high):,}"
    middle = f"more than {found.horizon:,}" if found.median is None else f"about {round(found.median):,}"
    return (
        f"Random would need {middle} labels {name} "
        f"({100 * LEVEL:g} % interval: {low} {'or' if found.high is None else 'to'} {high})"
    )


def _rounded(labels: float) -> int:
    """Two digits: the interval is wider than the third."""
    step = 10 ** max(0, len(str(round(labels))) - 2)
    return int(round(labels / step) * step)
