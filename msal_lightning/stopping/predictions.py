"""Criteria that need no labels: they look at the predictions on a stop set (overview: arXiv 2110.03802)."""

import itertools
from collections.abc import Sequence

from msal_lightning.io.wording import counted
from msal_lightning.stopping.base import Look, StoppingCriterion


class _OnStopSet(StoppingCriterion):
    """A criterion with a stop set.

    Args:
        size: images of the stop set, drawn once by the run's seed; all if there are fewer.

    Raises:
        ValueError: fewer than two images.
    """

    def __init__(self, size: int) -> None:
        if size < 2:
            raise ValueError(f"expected loop.stop.size to be at least 2, got {size}: 1000 is the default")
        self.size = size

    @property
    def stop_set_size(self) -> int:
        """Number of images of the stop set."""
        return self.size


def neighbours(looks: Sequence[Look], rounds: int) -> list[tuple[list[int], list[int]]]:
    """Return the predictions of each of the last rounds beside those of the round before; empty if there are fewer."""
    sets = [look.stop_set for look in looks[-rounds - 1 :] if look.stop_set]
    return [one.both(other) for one, other in itertools.pairwise(sets)] if len(sets) > rounds else []


class KappaAgreement(_OnStopSet):
    """Stops when predictions are stable: Cohen's kappa between the models of neighbouring rounds.

    [0] Bloodgood and Vijay-Shanker, 2009, A Method for Stopping Active Learning Based on Stabilizing Predictions,
    arXiv 1409.5165

    Args:
        kappa: the mean of the last kappas must reach it; 0.99 in the paper.
        rounds: number of kappas in the mean; 3 in the paper.
        size: images of the stop set; 2,000 in the paper.

    Raises:
        ValueError: a number is out of range.
    """

    def __init__(self, kappa: float = 0.99, rounds: int = 3, size: int = 1000) -> None:
        super().__init__(size)
        if not 0 < kappa <= 1 or rounds < 1:
            raise ValueError(
                f"expected loop.stop.kappa above 0 and at most 1, and loop.stop.rounds of at least 1, got {kappa} and "
                f"{rounds}: 0.99 and 3 are the defaults"
            )
        self.kappa = kappa
        self.rounds = rounds

    def reason(self, looks: Sequence[Look]) -> str | None:  # noqa: D102
        pairs = neighbours(looks, self.rounds)
        if not pairs:
            return None
        mean = sum(_kappa(*pair) for pair in pairs) / len(pairs)
        return (
            f"kappa {mean:.4f}, mean of {counted(len(pairs), 'round')}, wanted {self.kappa:g}"
            if mean >= self.kappa
            else None
        )


class ClassificationChange(_OnStopSet):
    """Stops when hardly a prediction changes from one round to the next.

    [0] Zhu, Wang and Hovy, 2008, Learning a Stopping Criterion for Active Learning for Word Sense Disambiguation and
    Text Classification, IJCNLP

    Args:
        share: largest share of predictions that may change; 0 in the paper.
        rounds: number of changes in a row that must be so small.
        size: images of the stop set.

    Raises:
        ValueError: a number is out of range.
    """

    def __init__(self, share: float = 0.01, rounds: int = 2, size: int = 1000) -> None:
        super().__init__(size)
        if not 0 <= share < 1 or rounds < 1:
            raise ValueError(
                f"expected loop.stop.share of at least 0 and below 1, and loop.stop.rounds of at least 1, got {share} "
                f"and {rounds}: 0.01 and 2 are the defaults"
            )
        self.share = share
        self.rounds = rounds

    def reason(self, looks: Sequence[Look]) -> str | None:  # noqa: D102
        pairs = neighbours(looks, self.rounds)
        if not pairs:
            return None
        largest = max(sum(a != b for a, b in zip(*pair, strict=True)) / max(1, len(pair[0])) for pair in pairs)
        if largest > self.share:
            return None
        return f"at most {largest:.2%} of the predictions changed in a round, wanted {self.share:.2%}"


class OverallUncertainty(_OnStopSet):
    """Stops when the model is sure nearly everywhere.

    [0] Zhu, Wang and Hovy, 2008, Multi-Criteria-Based Strategy to Stop Active Learning for Data Annotation, COLING

    Args:
        uncertainty: largest mean entropy, as a share of that of C equal probabilities; 0.01 in the paper.
        size: images of the stop set.

    Raises:
        ValueError: a number is out of range.
    """

    def __init__(self, uncertainty: float = 0.01, size: int = 1000) -> None:
        super().__init__(size)
        if not 0 < uncertainty < 1:
            raise ValueError(
                f"expected loop.stop.uncertainty above 0 and below 1, got {uncertainty}: 0.01 is the default"
            )
        self.uncertainty = uncertainty

    def reason(self, looks: Sequence[Look]) -> str | None:  # noqa: D102
        last = looks[-1].stop_set
        if last is None or last.uncertainty > self.uncertainty:
            return None
        return f"mean uncertainty {last.uncertainty:.4f}, wanted {self.uncertainty:g}"


def _kappa(one: list[int], other: list[int]) -> float:
    """Cohen's kappa; 1 where both say the same class everywhere, which leaves it undefined."""
    from sklearn.metrics import cohen_kappa_score  # imported here, because records are read without scikit-learn

    return 1.0 if one == other else float(cohen_kappa_score(one, other))
