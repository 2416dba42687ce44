"""Labels that a method saves: how many fewer than Random it needs for the same accuracy."""

import itertools
import statistics
from collections.abc import Mapping

Curves = Mapping[int, Mapping[int, float]]  # seed to number of labels to accuracy


def labels_saved(method: Curves, random: Curves) -> float | None:
    """Labels saved at the accuracy that Random ends at.

    Both curves are means over the seeds that the two share, straight between their points; each needs the labels at
    which it first reaches Random's final accuracy. A negative number is a loss.

    Args:
        method: its curves.
        random: those of Random.

    Returns:
        None where no seed is shared or the method does not reach that accuracy.
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
    """The number of labels at which a curve first reaches an accuracy, None where it never does.

    Args:
        curve: (labels, accuracy) in the order of labels; straight between them.
        target: an accuracy; a curve that starts above it needs the labels of its first point.
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
