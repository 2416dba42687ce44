"""Other classes: renamed, merged or split ones."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from msal_lightning.data.class_numbers import SPLIT, keep_numbers
from msal_lightning.io.wording import counted
from msal_lightning.runs.amendments.base import Change

if TYPE_CHECKING:
    from msal_lightning.data.base import ActiveDataModule
    from msal_lightning.runs.records import RoundRecord


@dataclass(frozen=True)
class Reclass(Change):
    """Other classes for all labels: those of records, test images and benchmarks. Records stay as they are.

    Attributes:
        old: class names before the change, in the order of their numbers.
        new: class names afterwards.
        numbers: new number of each former class; -1 for a class that is split.
        index: dataset-absolute indices of the training images of the split class, labeled or not.
        label: their new labels.
        test_index: positions of the test images of the split class in the test set.
        test_label: their new labels.
        extra_round: number of a round that is added, because the last recorded round has not queried. It trains and
            tests a model of the new classes with the same labels. None if the last round has queried, or if classes
            are only renamed.
    """

    old: list[str]
    new: list[str]
    numbers: list[int]
    index: list[int] = field(default_factory=list)
    label: list[int] = field(default_factory=list)
    test_index: list[int] = field(default_factory=list)
    test_label: list[int] = field(default_factory=list)
    extra_round: int | None = None

    def __post_init__(self) -> None:
        same = len(self.old) == len(self.numbers) and len(self.index) == len(self.label)
        if not same or len(self.test_index) != len(self.test_label) or len({*self.new}) < len(self.new):
            raise ValueError("columns of different lengths, or a name twice")
        known = {*self.numbers, *self.label, *self.test_label} - {SPLIT}
        if not known <= {*range(len(self.new))} or min([*self.index, *self.test_index], default=0) < 0:
            raise ValueError("a number that no class has, or a negative index")

    @property
    def renames(self) -> bool:
        """Whether all classes keep their numbers, and only names change."""
        return keep_numbers(self.numbers) and len(self.new) == len(self.old)

    @property
    def may_precede_query(self) -> bool:
        """Whether the model of the last recorded round can query with the new classes."""
        return self.renames

    def names_after(self, names: list[str]) -> list[str]:
        """Return class names after the change; new names stay, which a record may have already.

        Args:
            names: class names before the change; a query since then may have added some.
        """
        if self.renames and names[: len(self.old)] != self.old:
            return names
        return [*self.new, *names[len(self.old) :]]

    def label_counts(self, counts: list[int]) -> list[int]:
        """Add the extra round, if there is one."""
        if (k := self.extra_round) is None:
            return counts
        return [*counts[:k], counts[k - 1], *counts[k:]]

    def reopens(self, last: "RoundRecord", before: bool) -> bool:
        """Let the model of the new classes query instead."""
        return before and self.extra_round != last.round + 1

    def apply(self, data: "ActiveDataModule") -> None:
        """Translate all labels of the data."""
        import torch  # imported here, because `status` reads amendments without torch

        from msal_lightning.data.class_change import ClassChange

        if [*data.class_names] != self.old:
            raise ValueError(f"the classes were {', '.join(self.old)} and are {', '.join(data.class_names)} now")
        columns = (self.numbers, self.index, self.label, self.test_index, self.test_label)
        data.change_classes(ClassChange(tuple(self.new), *(torch.tensor(c, dtype=torch.int64) for c in columns)))

    def present(self, labels: dict[int, int]) -> dict[int, int]:  # noqa: D102
        if self.renames:  # also of classes that the query of a reopened round has added since
            return labels
        own = dict(zip(self.index, self.label, strict=True))
        new = {index: self.numbers[label] for index, label in labels.items()}
        return {index: own[index] if label == SPLIT else label for index, label in new.items()}

    def word(self, word: str, index: int) -> str:
        """Return the present name of a class that an annotator named; blank for an image of a split class without one.

        Args:
            word: name of a class, or another word, which stays.
            index: dataset-absolute index of the image.
        """
        if word not in self.old:
            return word
        number = self.numbers[self.old.index(word)]
        if number == SPLIT:
            number = dict(zip(self.index, self.label, strict=True)).get(index, SPLIT)
        return "" if number == SPLIT else self.new[number]

    def describe(self, class_names: Sequence[str]) -> str:  # noqa: D102
        if SPLIT in self.numbers:
            names = [self.old[c] for c, number in enumerate(self.numbers) if number == SPLIT]
            parts = [self.new[c] for c in sorted({*self.label, *self.test_label})]
            labels = counted(len(self.index) + len(self.test_index), "image")
            return f"class '{names[0]}' split into {_quoted(parts)}: {labels} with new labels"
        groups = [[self.old[c] for c, k in enumerate(self.numbers) if k == number] for number in range(len(self.new))]
        if self.renames:
            pairs = [f"'{old}' to '{new}'" for old, new in zip(self.old, self.new, strict=True) if old != new]
            return f"{'class' if len(pairs) == 1 else 'classes'} renamed: {', '.join(pairs)}"
        merged = [
            f"{_quoted(names)} merged into '{new}'" for names, new in zip(groups, self.new, strict=True) if names[1:]
        ]
        return f"classes {', '.join(merged)}"


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)
