"""The contract of a change to a run."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # `status` reads amendments without torch
    from msal_lightning.data.base import ActiveDataModule
    from msal_lightning.runs.records import RoundRecord


class Change(ABC):
    """What an amendment changes. Subclasses are dataclasses of plain values, ``old`` and ``new`` among them."""

    @property
    def may_precede_query(self) -> bool:
        """Whether a query of the last recorded round, if it has to make one later, knows the change."""
        return True

    def label_counts(self, counts: list[int]) -> list[int]:
        """Return the number of labels of each round after the change.

        Args:
            counts: number of labels of each round before it.
        """
        return counts

    def reopens(self, last: "RoundRecord", before: bool) -> bool:
        """Return whether the last recorded round has to query, because it is no longer the last one of the run.

        Args:
            last: record of this round.
            before: the answer before the change.
        """
        return before

    def apply(self, data: "ActiveDataModule") -> None:
        """Change the data of a run: its split, its classes."""

    def present(self, labels: dict[int, int]) -> dict[int, int]:
        """Return labels after the change.

        Args:
            labels: labels that were given before the change, by dataset-absolute index.
        """
        return labels

    @abstractmethod
    def describe(self, class_names: Sequence[str]) -> str:
        """Describe the change in a few words.

        Args:
            class_names: names by number; a class without a name is shown by its number.
        """
