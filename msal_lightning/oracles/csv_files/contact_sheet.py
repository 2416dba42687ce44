"""The contact sheet of a labeling batch: one page with all images, which a person labels by keys."""

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

_SIDE = 320  # side of a shown image in pixels
# Sides of enlarged copies in pixels, of few images and of thousands, for files that browsers cannot show
_LARGE = (1600, 640)
_SHOWN = {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".gif", ".webp", ".avif", ".bmp"}
_SMALL = 64  # images up to this side in pixels are embedded exactly and enlarged without smoothing


def write_sheet(
    batch: LabelingBatch,
    file: Path,
    allow_new_classes: bool = False,
    decoding: Decoding | None = None,
    about: str = "",
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
    """
    items, how = batch.items, decoding or Decoding(_SIDE, 3, "squash")

    large = max(
        _LARGE[1], int(_LARGE[0] * min(1.0, 100 / max(1, len(items))) ** 0.5)
    )  # keeps the page small enough for a browser

    def one(item: LabelingTask) -> dict[str, Any]:
        return _picture(item, how, file.absolute().parent, large)

    pictures = list(in_threads(one, items, len(items), "drawing the contact sheet"))
    paths = "\n".join(item.path for item in items).encode(errors="backslashreplace")
    data = {
        "name": batch.name,
        "file": f"{batch.name}.csv",
        "folder": str(batch.folder),
        # the browser stores labels under this key, so another run or batch does not find them
        "key": f"{batch.folder.absolute()}:{batch.name}:{hashlib.blake2s(paths, digest_size=8).hexdigest()}",
        "columns": COLUMNS,
        "classes": batch.class_names,
        "allowNew": allow_new_classes,
        "about": _say(how, about),
        "items": [_item(item, picture) for item, picture in zip(items, pictures, strict=True)],
    }
    write_atomically(file, render(__package__, "contact_sheet", f"{batch.name}: {counted(len(items), 'image')}", data))


def _item(item: LabelingTask, picture: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of the CSV file and the data to display."""
    return {
        "path": item.path,
        "cell": guard_path(item.path),
        "suggested": item.suggested,
        "score": "" if item.score is None else str(item.score),
        "confidence": item.confidence,
        **picture,
    }


def _picture(item: LabelingTask, how: Decoding, folder: Path, side: int) -> dict[str, Any]:
    """Return data URIs, the path and the part that the model sees; nothing for an unreadable image."""
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
    except ValueError:  # the file is on another drive
        return Path(path).absolute().as_uri()
    return quote(os.fsencode(relative))


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
