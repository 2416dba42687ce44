"""Who knows the labels of the pool."""

from abc import ABC, abstractmethod

from torch import Tensor

from msal_lightning.hidden import refuse_if_hidden


class Oracle(ABC):
    """Answers for the labels of the pool; each answer costs budget.

    Attributes:
        handed_out: number of labels given so far; equals the number of labels bought, always.
    """

    handed_out: int = 0

    @abstractmethod
    def label(self, index: Tensor) -> Tensor:
        """The labels of images, each counted.

        Args:
            index: (n,) int64, dataset-absolute.

        Returns:
            (n,) int64.
        """

    @abstractmethod
    def count_errors(self, index: Tensor, predictions: Tensor) -> int | None:
        """How many predictions are wrong, without saying which; None where nobody knows.

        Args:
            index: (n,) int64, dataset-absolute.
            predictions: (n,) int64.
        """


class SimulatedOracle(Oracle):
    """An oracle that holds the labels of a benchmark dataset.

    Args:
        labels: (N,) int64.
    """

    def __init__(self, labels: Tensor) -> None:
        self.__labels = labels

    @property
    def _labels(self) -> Tensor:
        refuse_if_hidden()
        return self.__labels

    def label(self, index: Tensor) -> Tensor:  # noqa: D102
        labels = self._labels[index]
        self.handed_out += len(index)
        return labels

    def count_errors(self, index: Tensor, predictions: Tensor) -> int:  # noqa: D102
        return int((self._labels[index] != predictions).sum())
