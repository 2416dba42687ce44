"""A dataset that Hugging Face's ``save_to_disk`` wrote; the library ``datasets`` is an extra."""

import torch

from msal_lightning.data import ActiveDataModule
from msal_lightning.data.batches.loading import ImageSet
from msal_lightning.data.images.decoding import Decoding
from msal_lightning.data.images.hugging_face_rows import LabeledRows, open_saved
from msal_lightning.data.label_files.hugging_face import library


class SavedDataset(ActiveDataModule):
    """Images and labels of a saved dataset, which stay encoded; of several splits, train and test.

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
        self._columns = image_column, label_column
        self.class_names = ()

    def load(self) -> tuple[ImageSet, ImageSet]:
        """Open the files; images stay encoded.

        Raises:
            DataError: the folder is damaged, or lacks a column.
        """
        found = open_saved(self._library, self.root)
        self._rows = LabeledRows(self._library, found, self.root, "--", *self._columns)
        self.class_names = self._rows.class_names
        images = self._rows.images(Decoding(1, 3))
        sets = [ImageSet(*pair) for pair in zip(images, self._rows.labels, strict=True)]
        empty = ImageSet(torch.empty((0, 3, 1, 1), dtype=torch.uint8), torch.empty(0, dtype=torch.int64))
        return sets[0], sets[1] if len(sets) > 1 else empty

    def row_files(self, part: str) -> list[tuple[str, str]]:  # noqa: D102
        return self._rows.files(("train", "test").index(part))
