"""Who knows the labels of the pool."""

import math
from abc import ABC, abstractmethod

import torch
from torch import Generator, Tensor

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

    @abstractmethod
    def long_tail(self, imbalance: float, num_classes: int, generator: Generator) -> Tensor:
        """Which images an exponentially long-tailed version of the dataset keeps.

        Args:
            imbalance: images of the last class over images of the first.
            num_classes: C.
            generator: draws them.

        Returns:
            (N,) bool.

        Raises:
            UserError: nobody knows the labels beforehand.
        """

    @abstractmethod
    def count_classes(self, index: Tensor, num_classes: int) -> list[int] | None:
        """How many images of each class there are among some, without saying which; None where nobody knows.

        Args:
            index: (n,) int64, dataset-absolute.
            num_classes: C.
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

    def long_tail(self, imbalance: float, num_classes: int, generator: Generator) -> Tensor:
        """Keep ``n_c = n_max · imbalance^(c/(C-1))`` images of class c, rounded down.

        [0] Cui et al., 2019, Class-Balanced Loss Based on Effective Number of Samples, arXiv 1901.05555
        """
        counts = torch.bincount(self._labels, minlength=num_classes)
        keep = torch.zeros(len(self._labels), dtype=torch.bool)
        for c, wanted in enumerate(long_tail_sizes(num_classes, int(counts.max()), imbalance)):
            rows = (self._labels == c).nonzero()[:, 0]
            keep[rows[torch.randperm(len(rows), generator=generator)[:wanted]]] = True
        return keep

    def count_classes(self, index: Tensor, num_classes: int) -> list[int]:  # noqa: D102
        counts: list[int] = torch.bincount(self._labels[index], minlength=num_classes).tolist()
        return counts


def long_tail_sizes(num_classes: int, largest: int, imbalance: float) -> list[int]:
    """Images per class, rounded down: the first class has the largest number, the last ``imbalance`` of it."""
    share = [imbalance ** (c / max(1, num_classes - 1)) for c in range(num_classes)]
    # 5000 · 0.57 comes out as 2849.99…: without the last digits it would lose an image
    return [math.floor(round(largest * part, 6)) for part in share]
