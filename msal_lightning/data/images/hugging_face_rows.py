"""Images and labels in the rows of a dataset of Hugging Face; the library ``datasets`` is an extra."""

import io
import os
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO

import torch
from torch import Tensor

from msal_lightning.data.images.decoding import Decoding
from msal_lightning.data.images.encoded_images import EncodedImages
from msal_lightning.data.label_files.label_table import class_order
from msal_lightning.data.labels import UNKNOWN
from msal_lightning.errors import DataError
from msal_lightning.io.names import name_some
from msal_lightning.io.terminal import say


class RowImages(EncodedImages):
    """Images that are encoded in the rows of a dataset, or named by them.

    Args:
        rows: the dataset; each row has the path or the bytes of its image.
        column: the column of images.
        how: how an image becomes a square.
    """

    def __init__(self, rows: Any, column: str, how: Decoding) -> None:
        super().__init__(len(rows), how)
        self._rows, self._column = rows, column

    def open(self, place: int) -> str | BinaryIO:  # noqa: D102
        image = self._rows[place][self._column]
        if image is None:
            raise DataError(f"row {place} has no image: remove it, or set --on_error to skip")
        return io.BytesIO(image["bytes"]) if image["bytes"] is not None else str(image["path"])

    def name(self, place: int) -> str:  # noqa: D102
        return f"row {place}"


class LabeledRows:
    """The splits of a dataset that are used: train, and test if there is one.

    Args:
        library: the module ``datasets``.
        found: a dataset, or several by the names of their splits.
        where: the dataset in messages.
        key: what stands before the names of options in messages, ``--`` or ``data.``.
        image: the column of images; None for the only one.
        label: the column of labels; None for the only one of classes, or one named label.

    Attributes:
        parts: the splits.
        class_names: names of the classes.
        labels: (n,) int64 of each split, -1 where unknown.

    Raises:
        DataError: a split or a column is missing.
    """

    def __init__(
        self, library: Any, found: Any, where: str, key: str, image: str | None = None, label: str | None = None
    ) -> None:
        self._library, self._where, self._key = library, where, key
        self.parts: list[Any] = _parts(found, where) if isinstance(found, Mapping) else [found]
        features = self.parts[0].features
        self._image = self._image_column(features, image)
        self.class_names: tuple[str, ...] = ()
        self.labels = self._labels(self._label_column(features, label))

    def images(self, how: Decoding) -> list[RowImages]:
        """Return the images of each split."""
        name = self._image
        kind = self._library.Image(decode=False)
        return [RowImages(part.select_columns([name]).cast_column(name, kind), name, how) for part in self.parts]

    def files(self, part: int) -> list[tuple[str, str]]:
        """Return name and path of the files of a split; empty without it."""
        files = [file["filename"] for one in self.parts[part : part + 1] for file in one.cache_files]
        return [(os.path.basename(file), os.path.abspath(file)) for file in files]  # noqa: PTH100, PTH119 - as image_files

    def _image_column(self, features: Any, wanted: str | None) -> str:
        images = [name for name, kind in features.items() if isinstance(kind, self._library.Image)]
        wanted = wanted or (images[0] if len(images) == 1 else None)
        if wanted not in images:
            raise DataError(
                f"expected {self._key}image_column to name a column of images in '{self._where}' "
                f"({name_some(images) or 'none'}), got {wanted or 'none'}: set it"
            )
        return str(wanted)

    def _label_column(self, features: Any, wanted: str | None) -> str | None:
        if wanted is not None:
            if wanted not in features:
                raise DataError(
                    f"expected {self._key}label_column to be one of {name_some([*features])} in '{self._where}', got "
                    f"'{wanted}'"
                )
            return wanted
        classes = [name for name, kind in features.items() if isinstance(kind, self._library.ClassLabel)]
        if len(classes) > 1 and "label" not in classes:
            raise DataError(
                f"expected {self._key}label_column to name one of {name_some(classes)} in '{self._where}', got none"
            )
        return classes[0] if len(classes) == 1 else "label" if "label" in features else None

    def _labels(self, column: str | None) -> list[Tensor]:
        """Return the labels of each split, and set the names of the classes."""
        if column is None:
            return [torch.full((len(part),), UNKNOWN) for part in self.parts]
        kind = self.parts[0].features[column]
        values = [part[column][:] for part in self.parts]
        if isinstance(kind, self._library.ClassLabel):
            self.class_names = tuple(kind.names)
            return [torch.tensor([UNKNOWN if v is None else v for v in some], dtype=torch.int64) for some in values]
        names = [[None if value is None else str(value) for value in some] for some in values]
        self.class_names = class_order({name for some in names for name in some if name is not None})
        number: dict[str | None, int] = {None: UNKNOWN} | {name: c for c, name in enumerate(self.class_names)}
        return [torch.tensor([number[name] for name in some], dtype=torch.int64) for some in names]


def open_saved(library: Any, folder: str) -> Any:
    """Open what ``save_to_disk`` wrote.

    Raises:
        DataError: it is damaged.
    """
    try:
        return library.load_from_disk(folder)
    except Exception as error:  # of its many readers
        reason = " ".join(str(error).split())
        raise DataError(f"cannot read '{folder}' ({reason:.160}): write it again with save_to_disk") from None


def _parts(found: Mapping[str, Any], where: str) -> list[Any]:
    """Return the split to train on, and the one to test on if there is one."""
    if "train" not in found:
        raise DataError(f"expected a split train in '{where}', got {name_some([*found])}: save the one that you need")
    taken: Sequence[str] = [name for name in ("train", "test") if name in found]
    if others := [f"{name} of {len(part):,} rows" for name, part in found.items() if name not in taken]:
        say(f"left out: the splits {', '.join(others)}")
    return [found[name] for name in taken]
