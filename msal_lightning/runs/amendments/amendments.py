"""All amendments of a run, in the order in which they were made."""

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING

from msal_lightning.data.class_numbers import one_after_the_other
from msal_lightning.errors import RunError
from msal_lightning.runs.amendments.add import Add
from msal_lightning.runs.amendments.base import Change
from msal_lightning.runs.amendments.correct import Correct
from msal_lightning.runs.amendments.extend import Extend
from msal_lightning.runs.amendments.files import FOLDER, Amendment, amendment_file, read_amendment
from msal_lightning.runs.amendments.finish import Finish
from msal_lightning.runs.amendments.reclass import Reclass
from msal_lightning.runs.amendments.remove import Remove
from msal_lightning.runs.records import LabeledImages, RoundRecord

if TYPE_CHECKING:
    from msal_lightning.data.base import ActiveDataModule


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
        if not records:
            return None
        last = records[-1]
        return last if reduce(lambda is_open, one: one.change.reopens(last, is_open), self.items, False) else None

    def before_fit(self, data: "ActiveDataModule", round: int) -> None:
        """Change the data as the amendments say that a round's fit is the first to know."""
        for one in self.items:
            if one.before_round == round and not one.before_query:
                _apply(one, data)

    def before_query(self, data: "ActiveDataModule", round: int) -> None:
        """Change the data as the amendments say that came after the last round; if it queries, it knows them."""
        for one in self.items:
            if one.before_round == round + 1 and one.before_query:
                _apply(one, data)

    def present_labels(self, labeled: LabeledImages, round: int) -> list[int]:
        """Return the present labels of recorded images: corrected ones, and with the present numbers of the classes.

        Args:
            labeled: images of a record, with the labels of that time.
            round: round of the record.

        Raises:
            RunError: an amendment has no new class for one of them.
        """
        labels = dict(zip(labeled.index, labeled.label, strict=True))
        for one in self.items:
            if one.before_round > round:
                try:
                    labels = one.change.present(labels)
                except (KeyError, IndexError):
                    raise RunError(
                        f"amendment {one.number:03d} does not fit the record of round {round}: restore the former files"
                    ) from None
        return [labels[index] for index in labeled.index]

    def present_votes(self, votes: Mapping[int, tuple[tuple[str, str], ...]]) -> dict[int, tuple[tuple[str, str], ...]]:
        """Return what annotators said, with the present names of the classes.

        Args:
            votes: pairs of annotator and word for each image, by dataset-absolute index.
        """
        return {index: tuple(self._present_pairs(index, said)) for index, said in votes.items()}

    def _present_pairs(self, index: int, said: Sequence[tuple[str, str]]) -> Iterator[tuple[str, str]]:
        for name, word in said:
            now = reduce(lambda word, change: change.word(word, index), self.reclassed(), word)
            if now:  # nothing is known about an image of a split class without a new label
                yield name, now

    @property
    def corrected(self) -> set[int]:
        """Dataset-absolute indices of the images whose labels were corrected."""
        return {index for one in self.items if isinstance(one.change, Correct) for index in one.change.index}

    def reclassed(self, since: int = 0) -> list[Reclass]:
        """Return the changes of classes, in order.

        Args:
            since: leave out those that a fit before this round knows.
        """
        return [one.change for one in self.items if isinstance(one.change, Reclass) and one.before_round >= since]

    def regrouped(self, since: int = 0) -> list[str]:
        """Describe each merge or split of classes, with its first round.

        Args:
            since: leave out those that a fit before this round knows.
        """
        changes = [(one.before_round, one.change) for one in self.items if one.before_round >= since]
        merged = [(k, change) for k, change in changes if isinstance(change, Reclass) and not change.renames]
        return [f"{change.describe([])} before round {k}" for k, change in merged]

    def class_numbers(self, round: int) -> list[int] | None:
        """Return the new number of each class of the round before; None if no class changed before this round.

        Args:
            round: k; a class that was split has the number -1.
        """
        changes = [one.change for one in self.items if one.before_round == round]
        numbers = [change.numbers for change in changes if isinstance(change, Reclass)]
        return reduce(one_after_the_other, numbers) if numbers else None

    def present_names(self, recorded: Sequence[str], num_records: int) -> list[str]:
        """Return the present class names.

        Args:
            recorded: class names of the newest record.
            num_records: number of records.
        """
        return reduce(lambda names, change: change.names_after(names), self.reclassed(num_records), [*recorded])

    def renamed(self, recorded: Sequence[str], num_records: int) -> list[str]:
        """Return the present names of the classes that the last recorded round had; merged ones are still apart.

        Args:
            recorded: class names of the newest record.
            num_records: number of records.
        """
        changes = itertools.takewhile(lambda change: change.renames, self.reclassed(num_records))
        return reduce(lambda names, change: change.names_after(names), changes, [*recorded])

    def names_after_query(self, recorded: Sequence[str], round: int) -> list[str]:
        """Return the class names after a recorded round, of which a person may have renamed some before its query.

        Args:
            recorded: class names in the record of the round, from before or after these changes.
            round: k.
        """
        changes = [one.change for one in self.items if one.before_round == round + 1 and one.before_query]
        renames = [change for change in changes if isinstance(change, Reclass)]
        return reduce(lambda names, change: change.names_after(names), renames, [*recorded])

    def names_before(self, number: int, present: Sequence[str]) -> list[str]:
        """Return the class names at the time of an amendment.

        Args:
            number: of the amendment.
            present: the present class names.
        """
        later = [one.change for one in self.items[number - 1 :]]
        return next((change.old for change in later if isinstance(change, Reclass)), [*present])

    def pool_growth(self, last: RoundRecord) -> int:
        """Return the number of images that entered the pool after a round, less that of those which left it.

        Args:
            last: the record of the round.
        """
        # a last round that was opened again has queried among these already
        known_to_query = last.round + 1 if last.queried.index else None
        changes = (
            one.change
            for one in self.items
            if one.before_round > last.round and not (one.before_query and one.before_round == known_to_query)
        )
        return sum(change.pool_growth for change in changes if isinstance(change, Add | Remove))

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
        """Whether labels were corrected or removed, or have other classes."""
        return any(isinstance(one.change, Correct | Reclass | Remove) for one in self.items)

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


def _apply(one: Amendment, data: "ActiveDataModule") -> None:
    try:
        one.change.apply(data)
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
