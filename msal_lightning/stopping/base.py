"""The contract of a stopping criterion."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class StopSet:
    """What the model of a round says about a fixed sample of the images, labeled or not.

    Attributes:
        index: dataset-absolute indices, ascending.
        predicted: predicted class of each.
        uncertainty: mean entropy of the predicted probabilities, divided by that of C equal ones; 0 to 1.
    """

    index: list[int]
    predicted: list[int]
    uncertainty: float

    def both(self, other: "StopSet") -> tuple[list[int], list[int]]:
        """Return the predictions on the images that both have, in the same order."""
        mine, theirs = (
            dict(zip(self.index, self.predicted, strict=True)),
            dict(zip(other.index, other.predicted, strict=True)),
        )
        shared = sorted(mine.keys() & theirs.keys())
        return [mine[i] for i in shared], [theirs[i] for i in shared]


@dataclass(frozen=True)
class Look:
    """What a criterion sees of a round.

    Attributes:
        labels: number of labels before the round.
        accuracy: accuracy on the test set.
        num_test: number of test images; None if unknown.
        stop_set: predictions on the stop set; None if the criterion does not need them.
    """

    labels: int
    accuracy: float
    num_test: int | None = None
    stop_set: StopSet | None = None


class StoppingCriterion(ABC):
    """Decides after each test whether the next labels are still worth their price."""

    @property
    def stop_set_size(self) -> int:
        """Number of images of the stop set; 0 if the criterion looks at the accuracy only."""
        return 0

    @abstractmethod
    def reason(self, looks: Sequence[Look]) -> str | None:
        """Return why the run should end; None if it should go on.

        Args:
            looks: all rounds so far, the last one just tested.
        """
