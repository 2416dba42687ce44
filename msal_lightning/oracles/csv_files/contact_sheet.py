"""The contact sheet of a labeling batch: one page with all images, which a person labels by keys."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from msal_lightning.data.images.decoding import Decoding
from msal_lightning.data.images.image_files import in_threads
from msal_lightning.io.atomic import write_atomically
from msal_lightning.io.csv_cells import guard_path
from msal_lightning.io.html_page import render
from msal_lightning.io.wording import counted
from msal_lightning.oracles.base import LabelingBatch, LabelingTask
from msal_lightning.oracles.csv_files.csv_file import COLUMNS, NAMED_COLUMNS, rows_of
from msal_lightning.oracles.csv_files.sheet_pictures import SIDE, large_side, picture_of_file, picture_of_pixels

_SCRIPTS = [f"sheet_{part}" for part in ("labels", "pictures", "grid", "panel", "view", "file", "keys")]


@dataclass(frozen=True)
class SheetTable:
    """The CSV file that a page saves.

    Attributes:
        columns: its columns; ``path`` and ``label`` among them. The page fills in ``label`` only.
        rows: its lines, by column. If there is a column ``given``, the page shows this label of each image, and a
            person says which ones are wrong.
        command: command that reads the file, with its words before the file.
    """

    columns: tuple[str, ...]
    rows: Sequence[dict[str, Any]]
    command: str

    @classmethod
    def of(cls, batch: LabelingBatch, annotator: str = "") -> "SheetTable":
        """Return the table of a labeling request.

        Args:
            batch: the images to label.
            annotator: who labels them; blank if nobody is named.
        """
        return cls(NAMED_COLUMNS if annotator else COLUMNS, rows_of(batch, annotator=annotator), "label RUN")


def write_sheet(
    batch: LabelingBatch,
    file: Path,
    allow_new_classes: bool = False,
    decoding: Decoding | None = None,
    about: str = "",
    table: SheetTable | None = None,
    pixels: Sequence[Image.Image] | None = None,
) -> None:
    """Write the page of a batch atomically.

    The page works from disk: it embeds the images, keeps labels in the browser's local storage, and offers the batch's
    CSV file with these labels for download. It shows the path of an unreadable image, and marks the part that the model
    sees. The enlarged view shows the file itself, or a large copy if a browser cannot show the file.

    Args:
        batch: the images to label.
        file: path of the page.
        allow_new_classes: whether the page has a field for new classes.
        decoding: how the model reads the files; None for whole images in colour.
        about: a line that describes how the images are read.
        table: the CSV file; by default that of a labeling request.
        pixels: the images, if they are no files.
    """
    items, how = batch.items, decoding or Decoding(SIDE, 3, "squash")
    table = table or SheetTable.of(batch)
    large, folder = large_side(len(items)), file.absolute().parent

    def one(item: LabelingTask) -> dict[str, Any]:
        return picture_of_pixels(pixels[item.rank]) if pixels else picture_of_file(item.file, how, folder, large)

    pictures = list(in_threads(one, items, len(items), "drawing the contact sheet"))
    paths = "\n".join(item.path for item in items).encode(errors="backslashreplace")
    data = {
        "name": batch.name,
        "file": f"{batch.name}.csv",
        "folder": str(batch.folder),
        # the browser stores labels under this key, so another run or batch does not find them
        "key": f"{batch.folder.absolute()}:{batch.name}:{hashlib.blake2s(paths, digest_size=8).hexdigest()}",
        "columns": table.columns,
        "command": table.command,
        "classes": batch.class_names,
        "allowNew": allow_new_classes,
        "about": "" if pixels else _say(how, about),
        "model": None if decoding is None or pixels else _input(decoding),
        "items": [_item(item, row, picture) for item, row, picture in zip(items, table.rows, pictures, strict=True)],
    }
    title = f"{batch.name}: {counted(len(items), 'image')}"
    write_atomically(file, render(__package__, "contact_sheet", title, data, _SCRIPTS))


def _item(item: LabelingTask, row: dict[str, Any], picture: dict[str, Any]) -> dict[str, Any]:
    """Return the cells of the CSV file as text, and the data to display."""
    cells = {name: "" if value is None else str(value) for name, value in row.items()}
    return {
        "path": item.path,
        "cells": {**cells, "path": guard_path(item.path)},
        "given": row.get("given"),
        "suggested": item.suggested,
        "score": item.score,
        "confidence": item.confidence,
        **picture,
    }


def _input(how: Decoding) -> dict[str, Any]:
    """Return how the page draws an image as the model gets it."""
    padding = how.padding or (0,)
    colour = padding[:3] if len(padding) >= 3 else padding[:1] * 3
    return {"size": how.size, "fit": how.fit, "padding": f"rgb{tuple(colour)}", "grey": how.channels == 1}


def _say(how: Decoding, about: str) -> str:
    seen = {
        "crop": "the model sees the part inside the frame, or the whole image if there is no frame",
        "letterbox": "the model sees the whole image, letterboxed",
        "squash": "the model sees the whole image, squashed to a square",
    }[how.fit]
    bands = ""
    if how.bands is not None:
        first = how.bands[:3] if len(how.bands) >= 3 else how.bands[:1]
        names = ("red", "green", "blue") if len(first) == 3 else ("grey",)
        bands = "shown: " + ", ".join(f"band {band} in {name}" for band, name in zip(first, names, strict=True))
    return "; ".join(part for part in (seen, about, bands) if part)
