"""Criteria that look at the accuracy on the test set."""

from collections.abc import Sequence

from msal_lightning.io.wording import counted
from msal_lightning.stopping.base import Look, StoppingCriterion
from msal_lightning.stopping.forecast import FEWEST, forecast


class AccuracyReached(StoppingCriterion):
    """Stops at an accuracy.

    Args:
        accuracy: above 0, at most 1.
        rounds: number of rounds in a row that must have it.

    Raises:
        ValueError: a number is out of range.
    """

    def __init__(self, accuracy: float, rounds: int = 1) -> None:
        if not 0 < accuracy <= 1 or rounds < 1:
            raise ValueError(
                f"expected loop.stop.accuracy above 0 and at most 1, and loop.stop.rounds of at least 1, got "
                f"{accuracy} and {rounds}: 0.95 and 1, for example"
            )
        self.accuracy = accuracy
        self.rounds = rounds

    def reason(self, looks: Sequence[Look]) -> str | None:  # noqa: D102
        last = [look.accuracy for look in looks[-self.rounds :]]
        if len(last) < self.rounds or min(last) < self.accuracy:
            return None
        return f"accuracy {min(last):.4f}, wanted {self.accuracy:g}"


class Plateau(StoppingCriterion):
    """Stops when the best accuracy has hardly grown.

    Args:
        gain: points of accuracy, as a share of 1, that the best accuracy must grow by.
        rounds: number of rounds that it may take.

    Raises:
        ValueError: a number is out of range.
    """

    def __init__(self, gain: float = 0.005, rounds: int = 3) -> None:
        if gain < 0 or rounds < 1:
            raise ValueError(
                f"expected loop.stop.gain of at least 0 and loop.stop.rounds of at least 1, got {gain} and {rounds}: "
                "0.005 and 3 are the defaults"
            )
        self.gain = gain
        self.rounds = rounds

    def reason(self, looks: Sequence[Look]) -> str | None:  # noqa: D102
        before, last = looks[: -self.rounds], looks[-self.rounds :]
        if not before:
            return None
        grown = max(look.accuracy for look in last) - max(look.accuracy for look in before)
        if grown > self.gain:
            return None
        grew = f"grew by {max(grown, 0):.4f} in {counted(len(last), 'round')}"
        return f"the best accuracy {grew}, wanted more than {self.gain:g}"


class CostOptimum(StoppingCriterion):
    """Stops when no later end of the run is expected to cost less (Pullar-Strecker et al., 2021, arXiv 2110.03802).

    A label costs 1. The cost of an end is that of the labels until then, and of the wrong predictions that the model
    will make. The forecast of the curve gives the accuracy of later rounds; it needs four rounds.

    Args:
        error: cost of a wrong prediction, in labels.
        decisions: number of predictions that the model will make in use.

    Raises:
        ValueError: a number is not positive.
    """

    def __init__(self, error: float, decisions: int) -> None:
        if error <= 0 or decisions < 1:
            raise ValueError(
                f"expected loop.stop.error above 0 and loop.stop.decisions of at least 1, got {error} and {decisions}: "
                "the cost of a wrong prediction, in labels, and how many predictions the model will make"
            )
        self.error = error
        self.decisions = decisions

    def reason(self, looks: Sequence[Look]) -> str | None:  # noqa: D102
        if len(looks) < FEWEST:
            return None
        curve = forecast([one.labels for one in looks], [one.accuracy for one in looks], looks[-1].num_test)
        assert curve is not None
        price = self.error * self.decisions
        now = price * (1 - curve.expected_now)
        later = (curve.ahead - looks[-1].labels) + price * (1 - curve.expected)
        if later.min() < now:
            return None
        return f"every later end is expected to cost more, by {later.min() - now:,.0f} labels at least"
