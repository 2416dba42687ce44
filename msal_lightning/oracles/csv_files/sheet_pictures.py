"""The pictures of a contact sheet: embedded in the page, with a link to the original where a browser can show it."""

import base64
import io
import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

from PIL import Image

from msal_lightning.data.images.decoding import Decoding
from msal_lightning.data.images.formats import UNREADABLE

SIDE = 320
"""Side of a shown image in pixels."""
# Sides of enlarged copies in pixels, of few images and of thousands, for files that browsers cannot show
_LARGE = (1600, 640)
SHOWN = {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".gif", ".webp", ".avif", ".bmp"}
_SMALL = 64  # images up to this side in pixels are embedded exactly and enlarged without smoothing


def large_side(count: int) -> int:
    """Return the side of enlarged copies in pixels, so that a page of so many images stays small enough."""
    return max(_LARGE[1], int(_LARGE[0] * min(1.0, 100 / max(1, count)) ** 0.5))


def picture_of_file(file: Path, how: Decoding, folder: Path, side: int) -> dict[str, Any]:
    """Return data URIs, the path and the part that the model sees; nothing for an unreadable image.

    Args:
        file: the image.
        how: how the model reads it.
        folder: folder of the page, in which the link to the file begins.
        side: side of an enlarged copy in pixels, for files that browsers cannot show.
    """
    path = str(file)
    try:
        is_shown = file.suffix.lower() in SHOWN and how.is_plain(path)
        image = how.picture(path, SIDE if is_shown else side)
        width, height = image.size
        large = None
        if not is_shown and max(width, height) > SIDE:
            image.thumbnail((side, side), Image.Resampling.LANCZOS)
            large = _data_uri(image, exact=False)
        shown = _embedded(image)
    except UNREADABLE:
        return {"image": None, "small": False}
    return {
        **shown,
        "large": large,
        "file": _link(path, folder),
        "original": is_shown and not shown["small"],
        "ratio": width / height,
        "seen": how.seen(width, height),
    }


def picture_of_pixels(image: Image.Image) -> dict[str, Any]:
    """Return the same of an image that is no file."""
    width, height = image.size
    large = _data_uri(image, exact=True) if max(width, height) > SIDE else None
    return {**_embedded(image), "large": large, "file": None, "original": False, "ratio": width / height, "seen": None}


def _embedded(image: Image.Image) -> dict[str, Any]:
    small = max(image.size) <= _SMALL
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    return {"image": _data_uri(image, exact=small), "small": small}


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
