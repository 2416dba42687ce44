"""Labels that a method saves: how many fewer than Random it needs for the same accuracy."""

import itertools
import math
import statistics
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from msal_lightning.analysis.stats.bootstrap import DRAWS, interval, redraws
from msal_lightning.analysis.stats.estimates import Estimate
from msal_lightning.stopping.first_reached import all_first_reached

Curves = Mapping[int, Mapping[int, float]]  # seed to number of labels to accuracy


def labels_saved(method: Curves, random: Curves) -> float | None:
    """Return how many labels a method saves at Random's final accuracy.

    Both curves are means over the shared seeds, linear between their points. The result is the difference between the
    numbers of labels at which the curves first reach that accuracy; a negative number is a loss.

    Args:
        method: curves of the method.
        random: curves of Random.

    Returns:
        Number of labels; None if no seed is shared or the method does not reach that accuracy.
    """
    seeds = sorted(set(method) & set(random))
    if not seeds:
        return None
    ours, theirs = (_mean([curves[seed] for seed in seeds]) for curves in (method, random))
    if not ours or not theirs:
        return None
    target = theirs[-1][1]
    needed, needed_by_random = first_reached(ours, target), first_reached(theirs, target)
    return None if needed is None or needed_by_random is None else needed_by_random - needed


def saved_with_interval(
    method: NDArray[np.float64], baseline: NDArray[np.float64], labels: NDArray[np.int64], draws: int = DRAWS
) -> Estimate | None:
    """Return how many labels a method saves at the baseline's final accuracy, with a bootstrap interval over seeds.

    Args:
        method: (S, R) accuracies by seed and round.
        baseline: (S, R) accuracies of the baseline at the same seeds.
        labels: (R,) numbers of labels, rising.
        draws: number of draws.

    Returns:
        The estimate, as :func:`labels_saved`; its lower end is -inf if the method misses that accuracy in many draws.
        None if the mean curve does not reach it; NaN as ends for fewer than two seeds.
    """
    value = float(_saved(method.mean(axis=0)[None], baseline.mean(axis=0)[None], labels)[0])
    if math.isinf(value):
        return None
    if len(method) < 2:
        return Estimate(value, math.nan, math.nan)
    seeds = redraws(len(method), draws)
    return interval(value, _saved(method[seeds].mean(axis=1), baseline[seeds].mean(axis=1), labels))


def _saved(
    method: NDArray[np.float64], baseline: NDArray[np.float64], labels: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Labels saved by each of B mean curves, (B, R) to (B,); -inf where the accuracy is not reached."""
    target = baseline[:, -1:]
    saved: NDArray[np.float64] = all_first_reached(baseline, target, labels) - all_first_reached(method, target, labels)
    return saved


def first_reached(curve: list[tuple[int, float]], target: float) -> float | None:
    """Return the number of labels at which a curve first reaches an accuracy; None if it never does.

    Args:
        curve: pairs (labels, accuracy) in the order of labels; linear between them.
        target: the accuracy; a curve that starts above it needs the labels of its first point.
    """
    if curve and curve[0][1] >= target:
        return float(curve[0][0])
    for (labels, below), (more, above) in itertools.pairwise(curve):
        if below < target <= above:
            return labels + (target - below) / (above - below) * (more - labels)
    return None


def _mean(curves: list[Mapping[int, float]]) -> list[tuple[int, float]]:
    shared = sorted(set.intersection(*(set(curve) for curve in curves)))
    return [(labels, statistics.fmean(curve[labels] for curve in curves)) for labels in shared]
