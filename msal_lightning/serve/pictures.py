"""Pictures of a dataset by index, in a few sizes; no path comes from outside."""

import io
import threading
from collections import OrderedDict
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from msal_lightning.data.base import ActiveDataModule
from msal_lightning.data.images.decoding import Decoding
from msal_lightning.data.images.formats import UNREADABLE
from msal_lightning.io.regular_file import TooLargeError, read_regular
from msal_lightning.oracles.csv_files.sheet_pictures import SHOWN

SIDES = {"small": 320, "large": 1280, "original": 8192}
"""Most pixels of a side, by the name of the size."""
_EXACT = 64  # images up to this side are sent without loss, and the page enlarges them without smoothing
_KEPT = 96 * 1024**2  # bytes of pictures in memory
_LARGEST = 512 * 1024**2  # bytes of a file


class Picture(NamedTuple):
    """An encoded picture and its media type."""

    content: bytes
    kind: str


class Pictures:
    """Reads, shrinks and keeps pictures; safe to call from several threads.

    Args:
        data: owns the images.
    """

    def __init__(self, data: ActiveDataModule) -> None:
        self._data = data
        self._how = data.decoding or Decoding(SIDES["small"], 3, "squash")
        self._kept: OrderedDict[tuple[int, str], Picture] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Number of images; indices are below it."""
        return len(self._data.labeled_at)

    def get(self, index: int, size: str) -> Picture | None:
        """Return a picture; None if it cannot be read.

        Args:
            index: dataset-absolute.
            size: a key of :data:`SIDES`.
        """
        with self._lock:
            if (kept := self._kept.get((index, size))) is not None:
                self._kept.move_to_end((index, size))
                return kept
        try:
            made = self._make(index, SIDES[size])
        except (*UNREADABLE, TooLargeError):
            return None
        self._keep((index, size), made)
        return made

    def _make(self, index: int, side: int) -> Picture:
        files = self._data.locations(torch.tensor([index]))
        if files is None:
            return _encoded(Image.fromarray(_pixels(self._data.pictures(torch.tensor([index]))[0])), side)
        content = read_regular(files[0], _LARGEST)  # a pipe or a device among the images would hold the page up
        picture = self._how.picture(io.BytesIO(content), side)
        with Image.open(io.BytesIO(content)) as file:
            kind = Image.MIME.get(file.format or "", "")
        is_shown = files[0].suffix.lower() in SHOWN and self._how.is_plain(str(files[0]))
        if side == SIDES["original"] and is_shown and kind:
            return Picture(content, kind)  # the file itself, which is an image: Pillow has decoded it
        return _encoded(picture, side)

    def _keep(self, key: tuple[int, str], made: Picture) -> None:
        with self._lock:
            if key in self._kept or len(made.content) > _KEPT // 4:
                return
            self._kept[key] = made
            self._bytes += len(made.content)
            while self._bytes > _KEPT:
                self._bytes -= len(self._kept.popitem(last=False)[1].content)


def _encoded(picture: Image.Image, side: int) -> Picture:
    buffer = io.BytesIO()
    picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    if max(picture.size) <= _EXACT:
        picture.save(buffer, "PNG")
        return Picture(buffer.getvalue(), "image/png")
    picture.convert("RGB").save(buffer, "JPEG", quality=88)
    return Picture(buffer.getvalue(), "image/jpeg")


def _pixels(image: torch.Tensor) -> NDArray[np.uint8]:
    """Turn (C, H, W) into what Pillow reads."""
    pixels: NDArray[np.uint8] = (image[:3].permute(1, 2, 0) if len(image) >= 3 else image[0]).contiguous().numpy()
    return pixels
