"""Labels that a method saves: how many fewer than Random it needs for the same accuracy."""

import itertools
import statistics
from collections.abc import Mapping

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
