"""The contract of a change to a run."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # `status` reads amendments without torch
    from msal_lightning.data.split import Split
    from msal_lightning.runs.records import RoundRecord


class Change(ABC):
    """What an amendment changes. Subclasses are dataclasses of plain values, ``old`` and ``new`` among them."""

    def label_counts(self, counts: list[int]) -> list[int]:
        """Return the number of labels of each round after the change.

        Args:
            counts: number of labels of each round before it.
        """
        return counts

    def reopens(self, last: "RoundRecord") -> bool:
        """Return whether the last recorded round is no longer the last one of the run, so that it has to query."""
        return False

    def apply(self, split: "Split") -> None:
        """Change the split of a run."""

    @property
    def corrected(self) -> dict[int, int]:
        """The new label of each image whose label it changes, by dataset-absolute index."""
        return {}

    @abstractmethod
    def describe(self, class_names: Sequence[str]) -> str:
        """Describe the change in a few words.

        Args:
            class_names: names by number; a class without a name is shown by its number.
        """
