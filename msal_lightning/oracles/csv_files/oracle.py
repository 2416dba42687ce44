"""The oracle of people who fill in CSV files."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from msal_lightning.errors import AnnotationError
from msal_lightning.io.terminal import say
from msal_lightning.io.wording import counted
from msal_lightning.oracles.base import Annotation, AwaitingLabels, LabelingBatch, LabelingTask, Oracle
from msal_lightning.oracles.csv_files.contact_sheet import SheetTable, write_sheet
from msal_lightning.oracles.csv_files.csv_file import KnownClasses, Votes, read_votes, write_csv
from msal_lightning.oracles.csv_files.decisions import decisions, file_of, known_names, say_votes, update_decisions
from msal_lightning.oracles.csv_files.decisions_page import write_page
from msal_lightning.oracles.csv_files.shares import Share, check_annotators, check_same_split, split
from msal_lightning.oracles.resolve import Resolve, decide, disagree, with_votes

if TYPE_CHECKING:
    from msal_lightning.data.base import ActiveDataModule

_LOOKED_AT = 100  # images of the pool: one may be gone, not all
_SHOWN = 5  # images that annotators disagree about


class Files(Oracle):
    """Writes each batch as a CSV file with a blank column label and as a contact sheet, in the run's folder queries.

    Args:
        allow_new_classes: labels may name new classes, which the next model then has.
        annotators: names of the people who share the images of a batch; each gets a CSV file and a contact sheet.
        overlap: share of the images of a batch that all annotators label, to measure how far they agree.
        resolve: the label that counts where annotators disagree. majority: what more than half of them say; quality:
            what the more accurate ones say, by Dawid and Skene's model; adjudicate: none. Where no label follows, a
            person decides in the file of disagreements.

    Raises:
        AnnotationError: an option is out of range.
    """

    def __init__(
        self,
        allow_new_classes: bool = False,
        annotators: list[str] | None = None,
        overlap: float = 0.0,
        resolve: Resolve = "majority",
    ) -> None:
        self.allow_new_classes = allow_new_classes
        self.annotators, self.overlap, self.resolve = annotators or [], overlap, resolve
        check_annotators(self.annotators, overlap)
        self._data: ActiveDataModule | None = None

    def connect(self, data: "ActiveDataModule") -> None:  # noqa: D102
        files = data.locations(data.pool[:_LOOKED_AT])
        if files is None:
            raise AnnotationError(
                f"oracle Files shows image files to a person, {data.name} has none: set data to ImageFolder"
            )
        if files and not any(file.exists() for file in files):
            raise AnnotationError(
                f"expected the image '{files[0]}', found neither it nor the next {len(files) - 1}: set data.image_root "
                "to the folder of the images"
            )
        self._data = data

    def ask(self, batch: LabelingBatch) -> list[Annotation]:
        """Write the files if they are missing, and read the labels.

        Raises:
            AwaitingLabels: labels are blank, or annotators disagree and somebody has to decide.
            UserError: lines of a file are wrong.
        """
        shares = split(batch, self.annotators, self.overlap)
        check_same_split(batch, shares)
        for share in shares:
            self._write(share)
        votes = self._votes(batch, shares)
        return self._decide(batch, votes)

    def _write(self, share: Share) -> None:
        sheet = share.file.with_suffix(".html")
        if not sheet.exists():
            read_as = (self._data.decoding, self._data.describe()) if self._data else (None, "")
            write_sheet(
                share.batch, sheet, self.allow_new_classes, *read_as, table=SheetTable.of(share.batch, share.annotator)
            )
        if not share.file.exists():  # never overwritten, because a person may have filled it in
            write_csv(share.batch, share.file, annotator=share.annotator)

    def _votes(self, batch: LabelingBatch, shares: Sequence[Share]) -> list[Votes]:
        """Read all files.

        Raises:
            AwaitingLabels: labels are missing.
        """
        votes = {item.rank: Votes() for item in batch.items}
        missing = dict[Path, int]()
        for share in shares:
            found = read_votes(share.batch, share.file, self.allow_new_classes)
            for item, given in zip(share.batch.items, found, strict=True):
                votes[item.rank] |= {name or share.annotator: vote for name, vote in given.items()}
            missing[share.file] = sum(not given for given in found)
        if count := sum(missing.values()):
            files = [file for file, blank in missing.items() if blank]
            page = files[0].with_suffix(".html").name if len(files) == 1 else "the pages"
            how = f"fill in the column label, or open {page} beside it; then run the same command again"
            where = [f"{file} ({missing[file]})" if len(files) > 1 else f"{file}" for file in files]
            raise AwaitingLabels(count, ", ".join(where), how)
        return [votes[item.rank] for item in batch.items]

    def _decide(self, batch: LabelingBatch, votes: Sequence[Votes]) -> list[Annotation]:
        """Return the labels that count.

        Raises:
            AwaitingLabels: a person has to decide.
        """
        labels = decide(votes, self.resolve, batch.earlier)
        places = [k for k, given in enumerate(votes) if disagree(given)]
        if places:
            items, split_votes = [batch.items[k] for k in places], [votes[k] for k in places]
            for k, label in zip(
                places, self._decided(batch, items, split_votes, [labels[k] for k in places]), strict=True
            ):
                labels[k] = label
        return [with_votes(label, given) for label, given in zip(labels, votes, strict=True) if label is not None]

    def _decided(
        self,
        batch: LabelingBatch,
        items: Sequence[LabelingTask],
        votes: Sequence[Votes],
        labels: Sequence[Annotation | None],
    ) -> list[Annotation]:
        """Return the labels of the images on which annotators disagree, and list these images."""
        file, names = file_of(batch), known_names(batch, votes)
        classes = KnownClasses(names, self.allow_new_classes)
        found, wrong = decisions(items, update_decisions(file, items, votes, labels), classes)
        if wrong:
            raise AnnotationError(
                f"{counted(len(wrong), 'line')} of '{file}' cannot be accepted, so no label was accepted: correct the "
                "column label" + "".join(f"\n  {sentence}" for sentence in wrong)
            )
        results = [*zip(items, votes, found, strict=True)]
        listed = [f"  '{item.path}': {say_votes(given)}{_counts(label)}" for item, given, label in results]
        more = [f"  and {len(listed) - _SHOWN} more"] if len(listed) > _SHOWN else []
        about = f"{len(items)} of {counted(len(batch.items), 'image')} of {batch.name}"
        say("\n".join([f"annotators disagree about {about}:", *listed[:_SHOWN], *more, f"  all are in {file}"]))
        if undecided := found.count(None):
            open_ones = [(item, given) for item, given, label in results if label is None]
            tasks, split_votes = zip(*open_ones, strict=True)
            read_as = (self._data.decoding, self._data.describe()) if self._data else (None, "")
            named = replace(batch, class_names=names)
            page = write_page(named, tasks, split_votes, self.allow_new_classes, *read_as)
            how = (
                f"fill in the column label, or open {page.name} beside it, or let the annotators correct their files; "
                "then run the same command again"
            )
            raise AwaitingLabels(undecided, str(file), how)
        return [label for label in found if label is not None]


def _counts(label: Annotation | None) -> str:
    return "" if label is None else f"; counts: {label.word}"
