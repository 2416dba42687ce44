"""The images of a data module in one order, each decoded when it is needed."""

from collections.abc import Generator, Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from msal_lightning.data.base import ActiveDataModule
from msal_lightning.data.batches.loading import ImageStore, displayable
from msal_lightning.data.fingerprint import PARTS
from msal_lightning.data.images.decoding import Decoding
from msal_lightning.data.images.encoded_images import DecodedOnAccess
from msal_lightning.data.images.image_files import decode
from msal_lightning.data.labels import UNKNOWN
from msal_lightning.embed.reading import Batch, read_batches
from msal_lightning.errors import DataError, RunError


class Rows:
    """The training images of a data module, then its test images.

    Args:
        data: data module after ``setup``.
        how: how images are decoded and made squares.
    """

    def __init__(self, data: ActiveDataModule, how: Decoding) -> None:
        if data.dtypes != (torch.uint8,):
            raise DataError(f"expected --data to have images, got {data.name}: choose a dataset of images")
        self.how = how
        self._stores: list[ImageStore] = [data.images, data.test.image]
        self._labels = [data.hidden_labels.all(), data.test.label]
        self._names = data.class_names
        self._sizes = [len(label) for label in self._labels]
        files = [data.image_files(part) for part in PARTS]
        self._files = None if files[0] is None else [file for part in files for file in part or ()]

    def __len__(self) -> int:
        """Number of images."""
        return sum(self._sizes)

    def read(self, row: int) -> NDArray[np.uint8]:
        """Decode an image: (3, size, size).

        Raises:
            DataError: it cannot be read.
            RunError: its file is gone.
        """
        if self._files is not None:
            path = self._files[row][1]
            try:
                return decode(path, path, self.how)
            except DataError:
                if not Path(path).exists():
                    raise RunError(
                        f"the image '{path}' has gone since the command began: bring it back, and the same command "
                        "resumes"
                    ) from None
                raise
        part, place = self._place(row)
        store = self._stores[part]
        if isinstance(store, DecodedOnAccess):
            return store.read(place, self.how)
        pixels = displayable(store[torch.tensor([place])][0])
        return self.how.square([Image.fromarray(pixels).convert("RGB")])

    def batches(self, start: int, stop: int, size: int, workers: int, pin: bool) -> Generator[Batch]:
        """Read rows, see :func:`~msal_lightning.embed.reading.read_batches`."""
        return read_batches(self, start, stop, size, workers, pin)

    def name(self, row: int) -> str:
        """Return the path of an image, or the number of one without a file."""
        if self._files is not None:
            return self._files[row][0]
        part, place = self._place(row)
        return f"{PARTS[part]} image {place}"

    def columns(self) -> list[str]:
        """Return the columns of the table of labels; images without files are known by their row in the dataset."""
        return ["row" if self._files is None else "path", "label", *(["split"] if self._sizes[1] else [])]

    def table(self, left_out: set[int]) -> Iterator[dict[str, str | int]]:
        """Yield a line of the table of labels for each image.

        Args:
            left_out: rows without a line.
        """
        labels = torch.cat(self._labels).tolist()
        for row, label in enumerate(labels):
            if row not in left_out:
                yield {
                    "row": row,
                    "path": self.name(row),
                    "label": "" if label == UNKNOWN else self._names[label],
                    "split": PARTS[row >= self._sizes[0]],
                }

    def _place(self, row: int) -> tuple[int, int]:
        return (0, row) if row < self._sizes[0] else (1, row - self._sizes[0])
