"""Test results of a model for each class."""

from collections.abc import Sequence
from dataclasses import dataclass

MOST_CLASSES = 1000
"""With more classes, AUROC and the confusion matrix are left out, because a C × C matrix would be unreadable."""


@dataclass(frozen=True)
class ClassResults:
    """Counts of one test by class; ratios are computed from them.

    Attributes:
        images: test images of each class, (C,).
        predicted: number of test images that the model predicted as each class, (C,).
        correct: number of correct predictions of each class, (C,).
        auroc: area under the ROC curve of each class against the others by its probability, (C,), None where all test
            images are of the class or none is; None as a whole where it was left out.
        confusion: a text for each true class, ``3:5 7:1``: five of its images were taken for class 3, one for class 7;
            None where it was left out.
    """

    images: list[int]
    predicted: list[int]
    correct: list[int]
    auroc: list[float | None] | None = None
    confusion: list[str] | None = None

    @property
    def tested(self) -> list[int]:
        """Classes that have a test image."""
        return [c for c, count in enumerate(self.images) if count]

    def precision(self, c: int) -> float | None:
        """Return the share of images predicted as class c that belong to it; None if there are none."""
        return self.correct[c] / self.predicted[c] if self.predicted[c] else None

    def recall(self, c: int) -> float | None:
        """Return the share of images of class c that were predicted as c; None if there are none."""
        return self.correct[c] / self.images[c] if self.images[c] else None

    def f1(self, c: int) -> float | None:
        """Harmonic mean of precision and recall, 0 for a class that was never predicted; None without test images."""
        return 2 * self.correct[c] / (self.images[c] + self.predicted[c]) if self.images[c] else None

    def auroc_of(self, c: int) -> float | None:
        """Return the area under the ROC curve of class c against the others; None if undefined or left out."""
        return self.auroc[c] if self.auroc else None

    @property
    def balanced_accuracy(self) -> float:
        """Mean recall of the classes that have test images."""
        return _mean([self.recall(c) for c in self.tested])

    def macro(self) -> dict[str, float]:
        """Means over the classes that have test images; a class that was never predicted has a precision of 0 here."""
        means = {
            "macro_precision": _mean([self.precision(c) for c in self.tested]),
            "macro_f1": _mean([self.f1(c) for c in self.tested]),
        }
        defined = [value for c in self.tested if (value := self.auroc_of(c)) is not None]
        if defined:
            means["macro_auroc"] = _mean(defined)
        return {name: round(value, 6) for name, value in means.items()}

    def matrix(self) -> list[list[int]] | None:
        """The confusion matrix, true classes as rows, (C, C); None where it was left out."""
        if self.confusion is None:
            return None
        rows = [[0] * len(self.images) for _ in self.images]
        for row, text in zip(rows, self.confusion, strict=True):
            for cell in text.split():
                predicted, count = cell.split(":")
                row[int(predicted)] = int(count)
        return rows


def sparse_rows(cells: Sequence[tuple[int, int, int]], num_classes: int) -> list[str]:
    """The field ``confusion`` of (true class, predicted class, images) in ascending order."""
    rows: list[list[str]] = [[] for _ in range(num_classes)]
    for true, predicted, count in cells:
        rows[true].append(f"{predicted}:{count}")
    return [" ".join(row) for row in rows]


def _mean(values: Sequence[float | None]) -> float:
    return sum(value or 0.0 for value in values) / len(values) if values else 0.0
