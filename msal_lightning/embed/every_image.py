"""All images of a folder or a CSV file, without a held-out part."""

from pathlib import Path

from msal_lightning.data.batches.loading import ImageSet
from msal_lightning.data.images.image_files import ImageFiles
from msal_lightning.data.images.image_items import (
    ImageItem,
    list_all_images,
    list_class_folders,
    list_labeled,
    without_skipped,
)
from msal_lightning.data.images.listing import list_images
from msal_lightning.data.label_files.label_table import class_order
from msal_lightning.datasets.image_folder import ImageFolder
from msal_lightning.errors import DataError
from msal_lightning.io.names import name_some


class EveryImage(ImageFolder):
    """The images of a folder, with the names of its sub-folders as labels, or those that a CSV file names.

    Args:
        root: the folder; of a CSV file, the folder in which its paths begin.
        csv: file with the columns path and label, which may be blank, and optionally split.
        unlabeled: sub-folders are no classes.
    """

    def __init__(self, root: str, csv: str | None = None, unlabeled: bool = False) -> None:
        super().__init__(root, csv=csv, unlabeled=True, in_memory=False)
        self.name = "folder" if csv is None else "csv"
        self._has_classes = not unlabeled

    def load(self) -> tuple[ImageSet, ImageSet]:
        """List the files.

        Raises:
            DataError: there are none, or the folder or the CSV file is wrong.
        """
        items = self._list()
        self._find_decoding([str(item.path) for item in items])
        assert self.decoding is not None
        self.class_names = class_order({item.label for item in items if item.label is not None})
        parts = [[item for item in items if item.is_test == is_test] for is_test in (False, True)]
        self._paths, self._test_paths = ([str(item.path) for item in part] for part in parts)
        learn, test = (
            ImageSet(ImageFiles([item.path for item in part], 1, 3, self.decoding), self._labels_of(part))
            for part in parts
        )
        return learn, test

    def _list(self) -> list[ImageItem]:
        root = Path(self.root)
        if (labels := self.label_file) is not None:
            items = without_skipped(list_labeled(labels, root, blank=True, allow_outside=False), labels)
            if all(item.is_test for item in items):
                raise DataError(f"expected images of the training split in '{labels.path}', found none: add some")
            return items
        folders = root.is_dir() and any(entry.is_dir() and entry.name[0] != "." for entry in root.iterdir())
        if not self._has_classes or not folders:
            return list_all_images(root, None, None)
        items = list_class_folders(root, f"data.root '{root}'")
        if beside := list_images({"": root}, root).images[""]:
            self._refuse_beside(root, [path for path in beside if path.parent == root])
        return items

    @staticmethod
    def _refuse_beside(root: Path, files: list[Path]) -> None:
        if files:
            raise DataError(
                f"expected the images of '{root}' in sub-folders, one for each class, got "
                f"{name_some([*map(str, files)])} beside them: move them, or add --unlabeled"
            )
