"""Images that are no files of their own, decoded on access: rows, members of archives, items of a dataset."""

from abc import ABC, abstractmethod
from typing import BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from msal_lightning.data.images.decoding import Decoding
from msal_lightning.data.images.image_files import decode, in_threads


class DecodedOnAccess(ABC):
    """Images that behave like one tensor (N, C, size, size) uint8; indexing decodes them.

    Args:
        count: N.
        how: how an image becomes a square.
    """

    dtype = torch.uint8

    def __init__(self, count: int, how: Decoding) -> None:
        self._count, self.how = count, how

    @abstractmethod
    def read(self, place: int, how: Decoding) -> NDArray[np.uint8]:
        """Decode an image: (C, size, size).

        Raises:
            DataError: it cannot be read.
        """

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, C, size, size)."""
        return self._count, self.how.channels, self.how.size, self.how.size

    @property
    def num_bytes(self) -> int:
        """Size of the decoded images, in bytes."""
        return int(np.prod(self.shape))

    def __getitem__(self, index: Tensor) -> Tensor:
        """Decode the images at (B,) indices: (B, C, size, size)."""
        images = torch.empty((len(index), *self.shape[1:]), dtype=torch.uint8)
        for place, row in enumerate(index.tolist()):
            images[place] = torch.from_numpy(self.read(row, self.how))
        return images

    def load(self) -> Tensor:
        """Decode all: (N, C, size, size)."""
        images = torch.empty(self.shape, dtype=torch.uint8)
        rows = in_threads(lambda row: self.read(row, self.how), range(self._count), self._count, "reading images")
        for place, image in enumerate(rows):
            images[place] = torch.from_numpy(image)
        return images


class EncodedImages(DecodedOnAccess):
    """Images of which each has the content of an image file."""

    @abstractmethod
    def open(self, place: int) -> str | BinaryIO:
        """Return the path of an image, or its file in memory.

        Raises:
            DataError: there is no image.
        """

    def name(self, place: int) -> str:
        """Return what messages call an image."""
        return f"image {place}"

    def read(self, place: int, how: Decoding) -> NDArray[np.uint8]:  # noqa: D102
        return decode(self.name(place), self.open(place), how)


class SomeImages(DecodedOnAccess):
    """Some rows of such images.

    Args:
        images: all of them.
        rows: (n,) int64.
    """

    def __init__(self, images: DecodedOnAccess, rows: Tensor) -> None:
        super().__init__(len(rows), images.how)
        self._images, self._rows = images, rows.tolist()

    def read(self, place: int, how: Decoding) -> NDArray[np.uint8]:  # noqa: D102
        return self._images.read(self._rows[place], how)
