"""Other classes for the same images: merged, split or renamed ones."""

from dataclasses import dataclass

import torch
from torch import Tensor

from msal_lightning.data.class_numbers import SPLIT, keep_numbers


@dataclass(frozen=True)
class ClassChange:
    """Translates class numbers.

    Attributes:
        names: C' names of the new classes.
        numbers: (C,) int64, new number of each former class, or -1 for a class that is split.
        index: (n,) int64, dataset-absolute indices of the training images of split classes.
        label: (n,) int64, their new labels.
        test_index: (m,) int64, positions of the test images of split classes in the test set.
        test_label: (m,) int64, their new labels.
    """

    names: tuple[str, ...]
    numbers: Tensor
    index: Tensor
    label: Tensor
    test_index: Tensor
    test_label: Tensor

    def of_train(self, labels: Tensor) -> Tensor:
        """Translate labels of training images.

        Args:
            labels: (N,) of an integer type, by dataset-absolute index; -1 where unknown.

        Returns:
            (N,) of the same type; -1 too where an image of a split class has no new label.

        Raises:
            IndexError: a label is no former class, or an index is out of range.
        """
        return self._translate(labels, self.index, self.label)

    def of_test(self, labels: Tensor) -> Tensor:
        """Translate labels of test images, see :meth:`of_train`."""
        return self._translate(labels, self.test_index, self.test_label)

    def of_classes(self, index: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Translate predicted classes; images that were predicted as a split class are left out.

        Args:
            index: (n,) int64, dataset-absolute.
            labels: (n,) int64, predicted classes.
        """
        new = self.numbers[labels]
        stay = new != SPLIT
        return index[stay], new[stay]

    @property
    def keeps_numbers(self) -> bool:
        """Whether all classes keep their numbers."""
        return keep_numbers(self.numbers.tolist())

    def _translate(self, labels: Tensor, index: Tensor, new: Tensor) -> Tensor:
        known = labels >= 0
        own = torch.full(labels.shape, SPLIT, dtype=torch.int64)
        own[index] = new
        numbers = self.numbers[labels.clamp(min=0).long()]
        translated = torch.where(numbers == SPLIT, own, numbers)
        return torch.where(known, translated, labels.long()).to(labels.dtype)
