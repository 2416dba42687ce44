"""When an image belongs to a rare class: a threshold of its probability, chosen on held-out labels."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

METRICS = ("balanced_accuracy", "f1")


@dataclass(frozen=True)
class Decision:
    """The rule by which probabilities become a class.

    Attributes:
        number: number of the class with a threshold.
        threshold: an image is of this class if its probability is at least this high; otherwise it is of the most
            probable of the other classes.
    """

    number: int
    threshold: float

    def classes(self, probabilities: NDArray[np.floating]) -> NDArray[np.int64]:
        """Return the number of the class of each image: (N, C) to (N,)."""
        others = np.array(probabilities, dtype=np.float64)
        is_class = others[:, self.number] >= self.threshold
        others[:, self.number] = -1
        return np.where(is_class, self.number, others.argmax(axis=1))


@dataclass(frozen=True)
class Quality:
    """How well a rule finds a class, and how well it does on all of them.

    Attributes:
        precision: share of the images said to be of the class that are; 0 if there are none.
        recall: share of the images of the class that are found.
        f1: harmonic mean of both.
        balanced_accuracy: mean of the recall, and of the share of other images that are not said to be of the class.
        accuracy: share of images whose class, of all classes, is right.
    """

    precision: float
    recall: float
    f1: float
    balanced_accuracy: float
    accuracy: float


def measure(labels: NDArray[np.int64], found: NDArray[np.int64], number: int) -> Quality:
    """Measure a rule.

    Args:
        labels: (N,) true classes, with the class and others among them.
        found: (N,) classes by the rule.
        number: the class.
    """
    return Quality(*_binary(labels == number, found == number), float((labels == found).mean()))


def _binary(true: NDArray[np.bool_], said: NDArray[np.bool_]) -> tuple[float, float, float, float]:
    hits, named, there = int((true & said).sum()), int(said.sum()), int(true.sum())
    specificity = float((~said[~true]).mean()) if there < len(true) else 0.0
    recall = hits / there if there else 0.0
    return hits / named if named else 0.0, recall, 2 * hits / max(1, named + there), (recall + specificity) / 2


def choose_threshold(
    scores: NDArray[np.floating], is_class: NDArray[np.bool_], metric: str, recall: float | None = None
) -> float:
    """Choose the threshold with the best value of a metric.

    Thresholds lie in the middle between two neighbouring scores. Of equally good ones the widest gap decides, because a
    threshold in it changes least with other images.

    Args:
        scores: (N,) probabilities of the class.
        is_class: (N,) which images are of the class, some and not all.
        metric: balanced_accuracy or f1, of the class against the rest.
        recall: choose the highest threshold with at least this recall instead; None to go by the metric.
    """
    edges = np.concatenate([[0.0], np.unique(np.asarray(scores, dtype=np.float64)), [1.0]])
    middles, gaps = (edges[1:] + edges[:-1]) / 2, np.diff(edges)
    middles[0] = 0.0  # everything belongs to the class
    ordered = np.sort(np.asarray(scores, dtype=np.float64)[is_class])
    hits = len(ordered) - np.searchsorted(ordered, middles)
    if recall is not None:
        return float(middles[hits >= recall * len(ordered) - 1e-9].max())
    rest = np.sort(np.asarray(scores, dtype=np.float64)[~is_class])
    wrong = len(rest) - np.searchsorted(rest, middles)
    value = _VALUES[metric](hits, wrong, len(ordered), len(rest))
    best = np.flatnonzero(value >= value.max() - 1e-12)
    return float(middles[best[gaps[best].argmax()]])


_Counts = NDArray[np.int64]
_VALUES: dict[str, Callable[[_Counts, _Counts, int, int], NDArray[np.float64]]] = {
    "balanced_accuracy": lambda hits, wrong, there, rest: (hits / there + (rest - wrong) / rest) / 2,
    "f1": lambda hits, wrong, there, rest: 2 * hits / (hits + wrong + there),
}
