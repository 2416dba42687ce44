"""All amendments of a run, in the order in which they were made."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING

from msal_lightning.errors import RunError
from msal_lightning.runs.amendments.add import Add
from msal_lightning.runs.amendments.base import Change
from msal_lightning.runs.amendments.correct import Correct
from msal_lightning.runs.amendments.extend import Extend
from msal_lightning.runs.amendments.files import FOLDER, Amendment, amendment_file, read_amendment
from msal_lightning.runs.amendments.finish import Finish
from msal_lightning.runs.amendments.remove import Remove
from msal_lightning.runs.records import RoundRecord

if TYPE_CHECKING:
    from msal_lightning.data.split import Split


@dataclass(frozen=True)
class Amendments:
    """The amendments of a run.

    Attributes:
        items: in order.
    """

    items: tuple[Amendment, ...] = ()

    def label_counts(self, planned: Sequence[int]) -> list[int]:
        """Return the number of labels of each round.

        Args:
            planned: these numbers by the configuration alone.
        """
        return reduce(lambda counts, one: one.change.label_counts(counts), self.items, [*planned])

    def reopened(self, records: Sequence[RoundRecord]) -> RoundRecord | None:
        """Return the last record if its round has to query after all, because the run was extended."""
        last = records[-1] if records else None
        return last if last and any(one.change.reopens(last) for one in self.items) else None

    def before_fit(self, split: "Split", round: int) -> None:
        """Change the split as the amendments say that a round's fit is the first to know."""
        for one in self.items:
            if one.before_round == round and not one.before_query:
                _apply(one, split)

    def before_query(self, split: "Split", round: int) -> None:
        """Change the split as the amendments say that came after the last round; if it queries, it knows them."""
        for one in self.items:
            if one.before_round == round + 1 and one.before_query:
                _apply(one, split)

    @property
    def corrected(self) -> dict[int, int]:
        """The present label of each image whose label was corrected, by dataset-absolute index."""
        return {index: label for one in self.items for index, label in one.change.corrected.items()}

    @property
    def pool_growth(self) -> int:
        """Number of added images, less that of removed ones without a label."""
        changes = [one.change for one in self.items]
        added = sum(change.new - change.old for change in changes if isinstance(change, Add))
        return added - sum(len(change.index) - change.labeled for change in changes if isinstance(change, Remove))

    @property
    def removed(self) -> set[int]:
        """Dataset-absolute indices of the images that were removed."""
        return {index for one in self.items if isinstance(one.change, Remove) for index in one.change.index}

    @property
    def num_removed_labels(self) -> int:
        """Number of labeled images that were removed."""
        return sum(one.change.labeled for one in self.items if isinstance(one.change, Remove))

    @property
    def change_labels(self) -> bool:
        """Whether labels were corrected or removed."""
        return any(isinstance(one.change, Correct | Remove) for one in self.items)

    @property
    def change_images(self) -> bool:
        """Whether images were added or removed."""
        return any(isinstance(one.change, Add | Remove) for one in self.items)

    @property
    def finishes(self) -> bool:
        """Whether the last amendment about the end of the run is :class:`Finish`: nothing more is requested."""
        ends = [one.change for one in self.items if isinstance(one.change, Extend | Finish)]
        return bool(ends) and isinstance(ends[-1], Finish)

    def next(self, change: Change, before_round: int, before_query: bool, reason: str) -> Amendment:
        """Return the next amendment, made now; see :class:`Amendment`."""
        now = datetime.now(UTC).astimezone().isoformat(timespec="seconds")
        return Amendment(len(self.items) + 1, now, before_round, before_query, reason, change)


def _apply(one: Amendment, split: "Split") -> None:
    try:
        one.change.apply(split)
    except (ValueError, IndexError) as error:
        raise RunError(
            f"amendment {one.number:03d} does not fit the data of the run ({error}): restore the former data"
        ) from None


def read_amendments(run: Path) -> Amendments:
    """Read the amendments of a run directory.

    Raises:
        RunError: a file is missing, damaged or changed by hand.
    """
    found = sorted(int(file.stem) for file in (run / FOLDER).glob("*.json") if re.fullmatch(r"[0-9]{3,}", file.stem))
    for number, wanted in zip(found, range(1, len(found) + 1), strict=True):
        if number != wanted:
            raise RunError(
                f"expected '{amendment_file(run, wanted)}', found {number:03d}.json next: restore the missing file"
            )
    items = tuple(read_amendment(amendment_file(run, number)) for number in found)
    for one, wanted in zip(items, found, strict=True):
        if one.number != wanted:
            raise RunError(f"'{amendment_file(run, wanted)}' holds amendment {one.number}: restore the former names")
    return Amendments(items)
