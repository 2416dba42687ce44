"""A dataset that Hugging Face's ``save_to_disk`` wrote; the library ``datasets`` is an extra."""

import io
import os
from collections.abc import Sequence
from typing import Any, BinaryIO

import torch
from torch import Tensor

from msal_lightning.data import ActiveDataModule
from msal_lightning.data.label_files.hugging_face import library
from msal_lightning.data.label_table import class_order
from msal_lightning.data.labels import UNKNOWN
from msal_lightning.data.loading import ImageSet
from msal_lightning.errors import DataError
from msal_lightning.io.names import name_some
from msal_lightning.io.terminal import say


class EncodedImages:
    """Images that are encoded in the rows of a dataset, or named by them.

    Args:
        rows: the dataset; each row has the path or the bytes of its image.
        column: the column of images.
    """

    dtype = torch.uint8

    def __init__(self, rows: Any, column: str) -> None:
        self._rows, self._column = rows, column
        self.shape = (len(rows), 3, 1, 1)

    def open(self, place: int) -> str | BinaryIO:
        """Return the path of an image, or its file in memory.

        Raises:
            DataError: the row has no image.
        """
        image = self._rows[place][self._column]
        if image is None:
            raise DataError(f"row {place} has no image: remove it, or set --on_error to skip")
        return io.BytesIO(image["bytes"]) if image["bytes"] is not None else str(image["path"])

    def __getitem__(self, index: Tensor) -> Tensor:
        """Nothing here decodes whole batches."""
        raise NotImplementedError


class SavedDataset(ActiveDataModule):
    """Images and labels of a saved dataset; of several splits, train and test.

    Args:
        root: the folder.
        image_column: the column of images; by default the only one.
        label_column: the column of labels; by default the only one of classes, or one named label.

    Raises:
        ConfigError: the library ``datasets`` is missing.
    """

    mean, std = (0.0,) * 3, (1.0,) * 3
    partly_labeled = True

    def __init__(self, root: str, image_column: str | None = None, label_column: str | None = None) -> None:
        super().__init__(root)
        self._library = library()
        self._image, self._label = image_column, label_column
        self.class_names = ()
        self._parts: list[Any] = []

    def load(self) -> tuple[ImageSet, ImageSet]:
        """Open the files; images stay encoded.

        Raises:
            DataError: the folder is damaged, or lacks a column.
        """
        try:
            found = self._library.load_from_disk(self.root)
        except Exception as error:  # of its many readers
            reason = " ".join(str(error).split())
            raise DataError(f"cannot read '{self.root}' ({reason:.160}): write it again with save_to_disk") from None
        self._parts = _parts(found, self.root) if isinstance(found, dict) else [found]
        features = self._parts[0].features
        image = self._image_column(features)
        labels = self._labels(self._label_column(features))
        sets = []
        for part, label in zip(self._parts, labels, strict=True):
            encoded = part.select_columns([image]).cast_column(image, self._library.Image(decode=False))
            sets.append(ImageSet(EncodedImages(encoded, image), label))
        empty = ImageSet(torch.empty((0, 3, 1, 1), dtype=torch.uint8), torch.empty(0, dtype=torch.int64))
        return sets[0], sets[1] if len(sets) > 1 else empty

    def row_files(self, part: str) -> list[tuple[str, str]]:  # noqa: D102
        place = ("train", "test").index(part)
        files = [file["filename"] for p in self._parts[place : place + 1] for file in p.cache_files]
        return [(os.path.basename(file), os.path.abspath(file)) for file in files]  # noqa: PTH100, PTH119 - as image_files

    def _image_column(self, features: Any) -> str:
        images = [name for name, kind in features.items() if isinstance(kind, self._library.Image)]
        wanted = self._image or (images[0] if len(images) == 1 else None)
        if wanted not in images:
            raise DataError(
                f"expected --image_column to name a column of images in '{self.root}' ({name_some(images) or 'none'}), "
                f"got {wanted or 'none'}: set it"
            )
        return str(wanted)

    def _label_column(self, features: Any) -> str | None:
        if self._label is not None:
            if self._label not in features:
                raise DataError(
                    f"expected --label_column to be one of {name_some([*features])} in '{self.root}', got "
                    f"'{self._label}'"
                )
            return self._label
        classes = [name for name, kind in features.items() if isinstance(kind, self._library.ClassLabel)]
        if len(classes) > 1 and "label" not in classes:
            raise DataError(f"expected --label_column to name one of {name_some(classes)} in '{self.root}', got none")
        return classes[0] if len(classes) == 1 else "label" if "label" in features else None

    def _labels(self, column: str | None) -> list[Tensor]:
        """Return the labels of each part, and set the names of the classes."""
        if column is None:
            return [torch.full((len(part),), UNKNOWN) for part in self._parts]
        kind = self._parts[0].features[column]
        values = [part[column][:] for part in self._parts]
        if isinstance(kind, self._library.ClassLabel):
            self.class_names = tuple(kind.names)
            return [torch.tensor([UNKNOWN if v is None else v for v in some], dtype=torch.int64) for some in values]
        names = [[None if value is None else str(value) for value in some] for some in values]
        self.class_names = class_order({name for some in names for name in some if name is not None})
        number: dict[str | None, int] = {None: UNKNOWN} | {name: c for c, name in enumerate(self.class_names)}
        return [torch.tensor([number[name] for name in some], dtype=torch.int64) for some in names]


def _parts(found: Any, root: str) -> list[Any]:
    """Return the split to train on, and the one to test on if there is one."""
    if "train" not in found:
        raise DataError(f"expected a split train in '{root}', got {name_some([*found])}: save the one that you need")
    taken: Sequence[str] = [name for name in ("train", "test") if name in found]
    if others := [f"{name} of {len(part):,} rows" for name, part in found.items() if name not in taken]:
        say(f"left out: the splits {', '.join(others)}")
    return [found[name] for name in taken]
