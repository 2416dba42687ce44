"""The confidence interval of an accuracy, the expected gain from more labels, and the comparison with Random."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest, linregress, norm
from scipy.stats import t as student_t

from msal_lightning.analysis.stats.significance import paired_t

LEVEL = 0.95
"""Confidence level of all intervals."""
_ROUNDS = 5  # only the last rounds give the slope, since the curve bends
_FEWEST = 3  # rounds; with fewer, a slope has no standard error


@dataclass(frozen=True)
class Estimate:
    """A value with its interval.

    Attributes:
        value: the estimate.
        low: lower end at :data:`LEVEL`.
        high: upper end.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """A run against Random at the same number of labels.

    Attributes:
        labels: the number of labels.
        ours: accuracy of the run, mean over the compared seeds.
        random: accuracy of Random, mean over the compared seeds.
        seeds: number of pairs of runs with the same seed.
        p: two-sided p-value; None if no test is possible.
    """

    labels: int
    ours: float
    random: float
    seeds: int
    p: float | None

    @property
    def beaten(self) -> bool:
        """Whether Random is significantly worse."""
        return self.ours > self.random and self.p is not None and self.p < 1 - LEVEL


def accuracy_interval(accuracy: float, num_test: int) -> Estimate:
    """Return an accuracy with its score interval, which is valid even for few test images and near 0 and 1.

    The interval covers the random draw of the test images, not of the weights: another seed may land outside.

    [0] Wilson, 1927, Probable Inference, the Law of Succession, and Statistical Inference, JASA 22

    Args:
        accuracy: share of correct predictions.
        num_test: number of test images, at least 1.
    """
    interval = binomtest(round(accuracy * num_test), num_test).proportion_ci(LEVEL, method="wilson")
    return Estimate(accuracy, float(interval.low), float(interval.high))


def next_gain(labels: Sequence[int], accuracies: Sequence[float], more: int = 100) -> Estimate | None:
    """Estimate the gain in accuracy from more labels, if the curve continues as in the last rounds.

    A least-squares line over the logarithm of the number of labels is fitted to the last five rounds. Its slope gives
    the estimate, and the t-interval of the slope gives the ends; the accuracy is kept between 0 and 1.

    Args:
        labels: number of labels in each round, rising.
        accuracies: accuracy of each round.
        more: number of additional labels.

    Returns:
        The gain; None for fewer than three rounds.
    """
    x, y = np.log(np.array(labels[-_ROUNDS:], dtype=np.float64)), np.array(accuracies[-_ROUNDS:], dtype=np.float64)
    if len(x) < _FEWEST:
        return None
    line = linregress(x, y)
    slope, half = float(line.slope), float(student_t.ppf(0.5 + LEVEL / 2, len(x) - 2) * line.stderr)
    step = math.log1p(more / labels[-1])
    # an accuracy ends at 0 and 1, a straight line does not
    lowest, highest = -float(accuracies[-1]), 1.0 - float(accuracies[-1])
    return Estimate(*(min(max(s * step, lowest), highest) for s in (slope, slope - half, slope + half)))


def against_random(
    ours: Mapping[int, Mapping[int, float]], random: Mapping[int, Mapping[int, float]], num_test: int | None
) -> Comparison | None:
    """Compare runs with runs of Random at the largest number of labels that all pairs have.

    With several seeds, the test is a paired t-test over seeds. With one seed, it is a test of two proportions, which is
    conservative because both runs were tested on the same images.

    Args:
        ours: seed to number of labels to accuracy.
        random: the same for the runs of Random.
        num_test: number of test images, which the test on one seed needs; None if unknown.

    Returns:
        The comparison; None if no seed or no number of labels is shared.
    """
    seeds = sorted(ours.keys() & random.keys())
    shared = set.intersection(*({*ours[s]} & {*random[s]} for s in seeds)) if seeds else set()
    if not shared:
        return None
    labels = max(shared)
    a, b = ([float(runs[s][labels]) for s in seeds] for runs in (ours, random))
    mean_a, mean_b = sum(a) / len(a), sum(b) / len(b)
    if len(seeds) > 1:
        p: float | None = paired_t(np.array(a) - np.array(b))[1]
    else:
        p = _two_proportions(mean_a, mean_b, num_test) if num_test else None
    return Comparison(labels, mean_a, mean_b, len(seeds), p)


def _two_proportions(a: float, b: float, n: int) -> float:
    pooled = (a + b) / 2
    error = math.sqrt(2 * pooled * (1 - pooled) / n)
    return 2 * float(norm.cdf(-abs(a - b) / error)) if error else 1.0
