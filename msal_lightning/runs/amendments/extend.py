"""More labels for a run."""

from collections.abc import Sequence
from dataclasses import dataclass

from msal_lightning.io.wording import counted
from msal_lightning.runs.amendments.base import Change
from msal_lightning.runs.records import RoundRecord, digest_of, record_body


@dataclass(frozen=True)
class Extend(Change):
    """More rounds after those that were planned, each with as many labels as before.

    Attributes:
        old: number of labels at the end of the run before the change.
        new: number of labels at its end afterwards.
        query_size: labels per round.
        reopened: digest of the record of the round that had been the last one and made no query; None if the run had
            not come to it.
    """

    old: int
    new: int
    query_size: int
    reopened: str | None = None

    def label_counts(self, counts: list[int]) -> list[int]:
        """Append the new rounds; if b does not divide the labels, the last query is smaller."""
        return [*counts, *range(counts[-1] + self.query_size, self.new, self.query_size), self.new]

    def reopens(self, last: RoundRecord, before: bool) -> bool:
        """Return whether a record is still the one without a query; a query changes it."""
        return before or self.reopened == digest_of(record_body(last))

    def describe(self, class_names: Sequence[str]) -> str:  # noqa: D102
        return f"{counted(self.new - self.old, 'more label')}: {self.new:,} instead of {self.old:,}"
