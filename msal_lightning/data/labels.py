"""The labels in a dataset's files."""

import hashlib
import math

import torch
from torch import Generator, Tensor

from msal_lightning.data.class_change import ClassChange
from msal_lightning.data.label_guard import refuse_if_forbidden
from msal_lightning.errors import DataError

UNKNOWN = -1
"""The label of an image whose label was not queried yet, or that nobody has labeled."""


class HiddenLabels:
    """The labels that came with the images: all of them for a benchmark, some or none for your own images.

    Args:
        labels: (N,) int64; -1 where unknown.

    Attributes:
        num_revealed: number of labels revealed so far, including those from annotators; always equals the number of
            queried labels.
        known: (N,) bool, whether the label came with the image.
    """

    def __init__(self, labels: Tensor) -> None:
        self.__in_files = self.__labels = labels.to(torch.int32)  # half the memory for millions of rows
        self.known = labels != UNKNOWN
        self.num_revealed = 0

    def reset(self) -> None:
        """Count from 0 again, and restore the classes that the files have."""
        self.num_revealed = 0
        self.__labels = self.__in_files
        self.known = self.__labels != UNKNOWN

    def change_classes(self, change: ClassChange) -> None:
        """Translate all labels; that of an image of a split class without a new label is unknown."""
        self.__labels = change.of_train(self._labels)
        self.known = self.__labels != UNKNOWN

    @property
    def _labels(self) -> Tensor:
        refuse_if_forbidden()
        return self.__labels

    @property
    def is_whole(self) -> bool:
        """Whether all labels are known."""
        return bool(self.known.all())

    def label(self, index: Tensor) -> Tensor:
        """Reveal and count the labels of images.

        Args:
            index: (n,) int64, dataset-absolute.

        Returns:
            (n,) int64.

        Raises:
            ValueError: one is unknown; none is counted then.
        """
        labels = self._labels[index]
        if unknown := int((labels == UNKNOWN).sum()):
            raise ValueError(
                f"{unknown} of {len(index)} labels did not come with the images: request them from an annotator"
            )
        self.num_revealed += len(index)
        return labels.long()

    def all(self) -> Tensor:
        """Return all labels without counting them, (N,) int64, -1 where unknown; for a copy of the whole dataset."""
        return self._labels.long()

    def count_errors(self, index: Tensor, predictions: Tensor) -> int | None:
        """Count wrong predictions without revealing which; None if a label is unknown.

        Args:
            index: (n,) int64, dataset-absolute.
            predictions: (n,) int64.
        """
        labels = self._labels[index]
        return int((labels != predictions).sum()) if bool(self.known[index].all()) else None

    def marks(self) -> list[str]:
        """Return digests that detect changed labels in the files, see :func:`label_marks`."""
        refuse_if_forbidden()
        return label_marks(self.__in_files)

    def mark_of_all(self, rows: slice = slice(None)) -> str:
        """Return one digest of all labels in the files, or of some rows, see :func:`mark_of_all`."""
        refuse_if_forbidden()
        return mark_of_all(self.__in_files[rows])

    def long_tail(self, imbalance: float, num_classes: int, generator: Generator) -> Tensor:
        """Keep ``n_c = n_max · imbalance^(c/(C-1))`` images of class c, rounded down.

        [0] Cui et al., 2019, Class-Balanced Loss Based on Effective Number of Samples, arXiv 1901.05555

        Args:
            imbalance: images of the last class over images of the first.
            num_classes: C.
            generator: draws them.

        Returns:
            (N,) bool, which images the long-tailed version keeps.

        Raises:
            DataError: labels are unknown.
        """
        refuse_if_forbidden()
        labels = self.__in_files
        if not self.is_whole:
            raise DataError(
                "expected all labels to be known for data.imbalance, got images without one: leave data.imbalance out"
            )
        counts = torch.bincount(labels, minlength=num_classes)
        keep = torch.zeros(len(labels), dtype=torch.bool)
        for c, wanted in enumerate(long_tail_sizes(num_classes, int(counts.max()), imbalance)):
            rows = (labels == c).nonzero()[:, 0]
            keep[rows[torch.randperm(len(rows), generator=generator)[:wanted]]] = True
        return keep

    def count_classes(self, index: Tensor, num_classes: int) -> list[int] | None:
        """Count the images of each class without revealing which; None if a label is unknown.

        Args:
            index: (n,) int64, dataset-absolute, or (N,) bool.
            num_classes: C.
        """
        labels = self._labels[index]
        if not bool(self.known[index].all()):
            return None
        counts: list[int] = torch.bincount(labels, minlength=num_classes).tolist()
        return counts


def label_marks(labels: Tensor) -> list[str]:
    """A digest of each label; blank where it is unknown.

    Args:
        labels: (N,) int64.
    """
    digest = hashlib.blake2b
    return [
        "" if label == UNKNOWN else digest(b"%d %d" % (row, label), digest_size=4).hexdigest()
        for row, label in enumerate(labels.tolist())
    ]


def long_tail_sizes(num_classes: int, largest: int, imbalance: float) -> list[int]:
    """Images per class, rounded down: the first class has the largest number, the last ``imbalance`` of it."""
    share = [imbalance ** (c / max(1, num_classes - 1)) for c in range(num_classes)]
    # 5000 · 0.57 comes out as 2849.99…: without the last digits it would lose an image
    return [math.floor(round(largest * part, 6)) for part in share]


def mark_of_all(labels: Tensor) -> str:
    """One digest of many labels; blank if none is known."""
    if not len(labels) or int(labels.max()) == UNKNOWN:
        return ""
    return hashlib.blake2b(labels.to(torch.int32).numpy().tobytes(), digest_size=6).hexdigest()
