"""The page on which a person decides about images on which annotators disagree."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from msal_lightning.data.images.decoding import Decoding
from msal_lightning.oracles.base import LabelingBatch, LabelingTask
from msal_lightning.oracles.csv_files.contact_sheet import SheetTable, write_sheet
from msal_lightning.oracles.csv_files.csv_file import Votes
from msal_lightning.oracles.csv_files.decisions import COLUMNS, file_of, say_votes


def write_page(
    batch: LabelingBatch,
    tasks: Sequence[LabelingTask],
    votes: Sequence[Votes],
    allow_new_classes: bool,
    decoding: Decoding | None,
    about: str,
) -> Path:
    """Write the page on which a person decides, and return its path.

    Args:
        batch: the labeling request, with all class names that annotators used.
        tasks: images whose label does not follow from the votes.
        votes: their annotations.
        allow_new_classes: see :func:`~msal_lightning.oracles.csv_files.contact_sheet.write_sheet`.
        decoding: see there.
        about: see there.
    """
    file = file_of(batch)
    items = tuple(replace(task, rank=rank) for rank, task in enumerate(tasks))
    rows = [
        {"path": item.path, "votes": say_votes(given), "label": ""} for item, given in zip(items, votes, strict=True)
    ]
    shown = LabelingBatch(file.stem, items, batch.class_names, batch.folder)
    table_of_page = SheetTable(COLUMNS, rows, "label RUN")
    write_sheet(shown, file.with_suffix(".html"), allow_new_classes, decoding, about, table_of_page)
    return file.with_suffix(".html")
