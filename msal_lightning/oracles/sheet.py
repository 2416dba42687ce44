"""The contact sheet of a question: its images on one page, to be labeled by keys."""

import base64
import hashlib
import io
from pathlib import Path
from typing import Any

from PIL import Image

from msal_lightning.atomic import write_atomically
from msal_lightning.data.decoding import Decoding
from msal_lightning.data.files import in_threads
from msal_lightning.data.formats import UNREADABLE
from msal_lightning.io.csv_cells import guard_path
from msal_lightning.one_page import render
from msal_lightning.oracles.base import Item, Question
from msal_lightning.oracles.question_csv import COLUMNS

_SIDE = 320  # pixels, of what is shown
_SMALL = 64  # pixels of a side up to which an image is kept exactly and enlarged in hard squares


def write_sheet(question: Question, file: Path, allow_new_classes: bool = False) -> None:
    """Write the page of a question, whole or not at all.

    It works from disk: images are in it, labels are kept in the browser's local storage, and what it hands out is the
    question's CSV file, filled. An image that cannot be read is shown as its path.

    Args:
        question: what is asked.
        file: the page.
        allow_new_classes: the page has a field for other classes.
    """
    items = question.items
    pictures = list(in_threads(_picture, items, len(items), "drawing the contact sheet"))
    paths = "\n".join(item.path for item in items).encode(errors="backslashreplace")
    data = {
        "name": question.name,
        "file": f"{question.name}.csv",
        "folder": str(question.folder),
        # the browser keeps labels by this key: another run or question must not find them
        "key": f"{question.folder.absolute()}:{question.name}:{hashlib.blake2s(paths, digest_size=8).hexdigest()}",
        "columns": COLUMNS,
        "classes": question.class_names,
        "allowNew": allow_new_classes,
        "items": [_item(item, picture) for item, picture in zip(items, pictures, strict=True)],
    }
    write_atomically(file, render("msal_lightning.oracles", "sheet", f"{question.name}: {len(items)} images", data))


def _item(item: Item, picture: dict[str, Any]) -> dict[str, Any]:
    """Fields as they stand in the CSV file, and what is shown."""
    return {
        "path": item.path,
        "cell": guard_path(item.path),
        "suggested": item.suggested,
        "score": "" if item.score is None else str(item.score),
        "confidence": item.confidence,
        **picture,
    }


def _picture(item: Item) -> dict[str, Any]:
    """An image as a data URI, and whether it is enlarged in hard squares; nothing where it cannot be read."""
    try:
        image = Decoding(_SIDE, 3, ranges=None).picture(str(item.file), _SIDE)
        small = max(image.size) <= _SMALL
        image.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
        buffer = io.BytesIO()
        if small:
            image.save(buffer, "PNG", optimize=True)
        else:
            image.save(buffer, "JPEG", quality=85)
    except UNREADABLE:
        return {"image": None, "small": False}
    kind = "png" if small else "jpeg"
    return {"image": f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}", "small": small}
