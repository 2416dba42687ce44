"""An earlier end of a run."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from msal_lightning.runs.amendments.base import Change

if TYPE_CHECKING:
    from msal_lightning.runs.records import RoundRecord


@dataclass(frozen=True)
class Finish(Change):
    """The run ends with a model of all labels that it has.

    Attributes:
        old: number of labels at the end of the run before the change.
        new: number of labels at its end afterwards.
        last_round: number of the last round. It follows a round without a query if labels were corrected or removed
            since the last fit.
    """

    old: int
    new: int
    last_round: int

    def label_counts(self, counts: list[int]) -> list[int]:
        """Drop later rounds, or put one without new labels in their place."""
        return [*counts[: self.last_round], self.new]

    def reopens(self, last: "RoundRecord", before: bool) -> bool:
        """Return whether a later round follows after all; a finished run stays as it is."""
        return before and last.round < self.last_round

    def describe(self, class_names: Sequence[str]) -> str:  # noqa: D102
        instead = f" instead of {self.old:,}" if self.old != self.new else ""
        return f"finished with {self.new:,} labels{instead}"
