"""The contact sheet of a question: its images on one page, to be labeled by keys."""

import base64
import hashlib
import io
import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

from PIL import Image

from msal_lightning.data.decoding import Decoding
from msal_lightning.data.formats import UNREADABLE
from msal_lightning.data.image_files import in_threads
from msal_lightning.io.atomic import write_atomically
from msal_lightning.io.csv_cells import guard_path
from msal_lightning.io.html_page import render
from msal_lightning.io.wording import counted
from msal_lightning.oracles.base import LabelingBatch, LabelingTask
from msal_lightning.oracles.csv_files.csv_file import COLUMNS

_SIDE = 320  # pixels, of what is shown
_LARGE = (1600, 640)  # pixels, of what is shown large where a browser cannot show the file; and of thousands of them
_SHOWN = {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".gif", ".webp", ".avif", ".bmp"}
_SMALL = 64  # pixels of a side up to which an image is kept exactly and enlarged in hard squares


def write_sheet(
    batch: LabelingBatch,
    file: Path,
    allow_new_classes: bool = False,
    decoding: Decoding | None = None,
    about: str = "",
) -> None:
    """Write the page of a question, whole or not at all.

    It works from disk: images are in it, labels are kept in the browser's local storage, and what it hands out is the
    question's CSV file, filled. An image that cannot be read is shown as its path. The part that the model sees is
    marked; enlarged, a page shows the file itself, or where a browser cannot a large picture of it.

    Args:
        batch: what is asked.
        file: the page.
        allow_new_classes: the page has a field for other classes.
        decoding: how the model sees the files; None: in colour, the whole of them.
        about: a line on how the images are read.
    """
    items, how = batch.items, decoding or Decoding(_SIDE, 3, "squash")

    large = max(_LARGE[1], int(_LARGE[0] * min(1.0, 100 / max(1, len(items))) ** 0.5))  # a page that a browser opens

    def one(item: LabelingTask) -> dict[str, Any]:
        return _picture(item, how, file.absolute().parent, large)

    pictures = list(in_threads(one, items, len(items), "drawing the contact sheet"))
    paths = "\n".join(item.path for item in items).encode(errors="backslashreplace")
    data = {
        "name": batch.name,
        "file": f"{batch.name}.csv",
        "folder": str(batch.folder),
        # the browser keeps labels by this key: another run or question must not find them
        "key": f"{batch.folder.absolute()}:{batch.name}:{hashlib.blake2s(paths, digest_size=8).hexdigest()}",
        "columns": COLUMNS,
        "classes": batch.class_names,
        "allowNew": allow_new_classes,
        "about": _say(how, about),
        "items": [_item(item, picture) for item, picture in zip(items, pictures, strict=True)],
    }
    write_atomically(file, render(__package__, "contact_sheet", f"{batch.name}: {counted(len(items), 'image')}", data))


def _item(item: LabelingTask, picture: dict[str, Any]) -> dict[str, Any]:
    """Fields as they stand in the CSV file, and what is shown."""
    return {
        "path": item.path,
        "cell": guard_path(item.path),
        "suggested": item.suggested,
        "score": "" if item.score is None else str(item.score),
        "confidence": item.confidence,
        **picture,
    }


def _picture(item: LabelingTask, how: Decoding, folder: Path, side: int) -> dict[str, Any]:
    """An image as data URIs, the way to its file, and the part that the model sees; nothing where it cannot be read."""
    path = str(item.file)
    try:
        is_shown = item.file.suffix.lower() in _SHOWN and how.is_plain(path)
        image = how.picture(path, _SIDE if is_shown else side)
        width, height = image.size
        large = None
        if not is_shown and max(width, height) > _SIDE:
            image.thumbnail((side, side), Image.Resampling.LANCZOS)
            large = _data_uri(image, exact=False)
        small = max(image.size) <= _SMALL
        image.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
        shown = _data_uri(image, exact=small)
    except UNREADABLE:
        return {"image": None, "small": False}
    return {
        "image": shown,
        "small": small,
        "large": large,
        "file": _link(path, folder),
        "original": is_shown and not small,
        "ratio": width / height,
        "seen": how.seen(width, height),
    }


def _data_uri(image: Image.Image, exact: bool) -> str:
    buffer = io.BytesIO()
    if exact:
        image.save(buffer, "PNG", optimize=True)
    else:
        image.save(buffer, "JPEG", quality=85)
    return f"data:image/{'png' if exact else 'jpeg'};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _link(path: str, folder: Path) -> str:
    try:
        relative = os.path.relpath(path, folder).replace(os.sep, "/")
    except ValueError:  # another drive
        return Path(path).absolute().as_uri()
    return quote(os.fsencode(relative))


def _say(how: Decoding, about: str) -> str:
    seen = {
        "crop": "the model sees the part inside the frame, or all where there is no frame",
        "letterbox": "the model sees the whole image, letterboxed",
        "squash": "the model sees the whole image, squashed to a square",
    }[how.fit]
    bands = ""
    if how.bands is not None:
        first = how.bands[:3] if len(how.bands) >= 3 else how.bands[:1]
        names = ("red", "green", "blue") if len(first) == 3 else ("grey",)
        bands = "shown: " + ", ".join(f"band {band} in {name}" for band, name in zip(first, names, strict=True))
    return "; ".join(part for part in (seen, about, bands) if part)
