"""The files of ``suspects``: a CSV file with a blank column label, and a contact sheet that fills it in."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from msal_lightning.datasets import Embeddings
from msal_lightning.errors import ConfigError
from msal_lightning.inference.suspects import DoubtedLabels, Suspect
from msal_lightning.io.atomic import write_atomically
from msal_lightning.io.csv_cells import table
from msal_lightning.oracles.base import LabelingBatch, LabelingTask
from msal_lightning.oracles.csv_files.contact_sheet import SheetTable, write_sheet

COLUMNS = ("path", "given", "suspected", "confidence", "label")
"""Path or index of the image, label of the run, probable class, probability of the label, and the blank column."""


def refuse_existing(file: Path) -> None:
    """Refuse to overwrite files that a person may have filled in.

    Raises:
        ConfigError: the CSV file or its page exists.
    """
    for path in (file, page_of(file)):
        if path.exists() or path.is_symlink():
            raise ConfigError(f"'{path}' exists already: delete it, or set --out to another file")


def page_of(file: Path) -> Path:
    """Return the path of the page beside a CSV file."""
    return file.with_suffix(".html")


def write_suspects(found: DoubtedLabels, suspects: Sequence[Suspect], file: Path) -> Path | None:
    """Write the CSV file and its page.

    Args:
        found: the data of the run, and the names of its classes.
        suspects: the labels to write, in order.
        file: the CSV file; its folder is made.

    Returns:
        The page; None for features without image files, of which there is nothing to see.

    Raises:
        ConfigError: a file cannot be written.
    """
    rows = [_line(one) for one in suspects]
    index = torch.tensor([one.row.index for one in suspects])
    files = found.data.locations(index)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        page = None
        if files is not None or not isinstance(found.data, Embeddings):
            page = page_of(file)
            items = tuple(
                LabelingTask(
                    index=one.row.index,
                    path=row["path"],
                    file=files[rank] if files else Path(),
                    suggested=one.suspected,
                    score=None,
                    confidence=round(one.suspected_confidence, 4),
                    rank=rank,
                )
                for rank, (one, row) in enumerate(zip(suspects, rows, strict=True))
            )
            write_sheet(
                LabelingBatch(file.stem, items, found.class_names, file.parent),
                page,
                decoding=found.data.decoding,
                about=found.data.describe(),
                table=SheetTable(COLUMNS, rows, "correct RUN"),
                pixels=None if files else [_image(pixels.numpy()) for pixels in found.data.pictures(index)],
            )
        write_atomically(file, table(rows, COLUMNS))
    except OSError as error:
        raise ConfigError(
            f"cannot write '{file}' ({error.strerror or error}): set --out to a file in a folder of yours"
        ) from None
    return page


def _line(one: Suspect) -> dict[str, Any]:
    return {
        "path": one.row.path or str(one.row.index),
        "given": one.row.label,
        "suspected": one.suspected,
        "confidence": round(one.confidence, 4),
        "label": "",
    }


def _image(pixels: np.ndarray[Any, np.dtype[np.uint8]]) -> Image.Image:
    """Make a picture of (C, H, W) pixels; of more than three channels the first three, of two the first."""
    channels = 3 if len(pixels) >= 3 else 1
    plane = np.ascontiguousarray(pixels[:channels].transpose(1, 2, 0))
    return Image.fromarray(plane if channels == 3 else plane[:, :, 0])
