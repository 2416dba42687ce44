"""Lists of images with their labels: from class folders, from a folder without labels, or from a file of labels."""

import os
from dataclasses import dataclass
from pathlib import Path

from msal_lightning.data.images.listing import Identity, identity, list_images, say_left_out
from msal_lightning.data.label_files.label_table import refuse_lines
from msal_lightning.data.label_files.reading import read_label_file
from msal_lightning.data.places import REASONS
from msal_lightning.errors import DataError
from msal_lightning.io.names import name_some
from msal_lightning.io.terminal import say


@dataclass(frozen=True)
class ImageItem:
    """One image of a list.

    Attributes:
        path: its file.
        label: name of its class; None if unknown.
        is_test: whether it belongs to the test set.
        group: text in the column of groups; None if it is in no table with such a column.
    """

    path: Path
    label: str | None
    is_test: bool = False
    group: str | None = None


def list_class_folders(root: Path, where: str, former: bool = False) -> list[ImageItem]:
    """Return the images in the sub-folders of a folder, which are the classes.

    Args:
        root: the folder.
        where: the folder in messages.
        former: list only the kinds of files that earlier versions read.

    Raises:
        DataError: there is no such folder, a class has no images, or an image is in two classes.
    """
    if not root.is_dir():
        raise DataError(f"expected {where} to be a folder with a sub-folder for each class, found none: correct it")
    classes = sorted(entry for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    names = {entry.name for entry in classes}
    if "train" in names and names & {"test", "val"}:
        raise DataError(
            f"expected a sub-folder for each class in {where}, got train and a test set: set data.root to "
            f"'{root / 'train'}' and data.test_root to the other one"
        )
    listing = list_images({folder.name: folder for folder in classes}, root, former)
    say_left_out(listing)
    items = [ImageItem(path, folder.name) for folder in classes for path in listing.images[folder.name]]
    if empty := sorted(names - {item.label for item in items}):
        raise DataError(f"found no images in {name_some(empty)} of {where}: add some, or delete the folder")
    return items


@dataclass(frozen=True)
class LabelFile:
    """A file of labels that a user named.

    Attributes:
        key: the key of the configuration, ``data.csv`` or ``data.labels``.
        path: the file, or a folder of Hugging Face.
        group: column of the groups of images, if the file has it; None for none.
    """

    key: str
    path: str
    group: str | None = None

    def __str__(self) -> str:
        return f"{self.key} '{self.path}'"


def list_all_images(
    root: Path, labels: LabelFile | None, test_root: str | None, former: bool = False
) -> list[ImageItem]:
    """Return all images below a folder, with labels from a file if it has them.

    Args:
        root: the folder.
        labels: file of labels; they may be blank.
        test_root: folder whose images are left out.
        former: list only the kinds of files that earlier versions read.

    Raises:
        DataError: there is no such folder, no image, or the file of labels is wrong.
    """
    if not root.is_dir():
        raise DataError(f"expected data.root '{root}' to be a folder of images, found none: correct it")
    listed = {identity(item.path): item for item in list_labeled(labels, root, blank=True)} if labels else {}
    listing = list_images({"": root}, root, former, ignore=[labels.path] if labels else [])
    say_left_out(listing)
    found = listing.images[""]
    if test_root is not None:
        tested = Path(os.path.normpath(test_root))
        found = [path for path in found if tested not in Path(os.path.normpath(path)).parents]
    items = [listed.pop(identity(path), ImageItem(path, None)) if listed else ImageItem(path, None) for path in found]
    items = without_skipped(items, labels)
    if listed:
        raise DataError(
            f"expected the files that {labels} names to be images below data.root '{root}', got "
            f"{name_some(sorted(str(item.path) for item in listed.values()))} too: correct one of the two"
        )
    if not any(not item.is_test for item in items):
        raise DataError(f"expected images below data.root '{root}', found none: set it to your folder")
    return items


def without_skipped(items: list[ImageItem], labels: LabelFile | None) -> list[ImageItem]:
    """Remove images that an annotator marked as skipped or unsure instead of a class."""
    if out := [item for item in items if item.label in REASONS]:
        key = labels.key if labels else "the file"
        say(f"{len(out)} of {len(items)} images are left out: {key} says {' or '.join(REASONS)}")
    return [item for item in items if item.label not in REASONS]


def list_labeled(labels: LabelFile, root: Path, blank: bool = False, allow_outside: bool = True) -> list[ImageItem]:
    """Return the images that a file of labels names, in its order.

    Args:
        labels: file with the columns path and label, and optionally split with train or test; or one of another format.
        root: folder in which the paths begin.
        blank: whether training images may have no label.
        allow_outside: whether paths may lead out of ``root``.

    Raises:
        DataError: the file is damaged, or some lines are wrong.
    """
    where, top = str(labels), root.resolve()
    lines = read_label_file(Path(labels.path), where, root)
    if lines and "path" not in lines[0].fields:
        raise DataError(f"expected the column path in {where}, got index: labels of image files have paths")
    items, wrong, seen = [], [], dict[Identity, str]()
    for line in lines:
        row = line.fields
        path = root / row["path"]
        if line.damage:
            wrong.append(line.damage)
        elif not row["path"] or not (row["label"] or (blank and row.get("split") != "test")):
            wrong.append(f"{line.where}: path or label is blank")
        elif line.wrong_split:
            wrong.append(line.wrong_split)
        elif not os.path.isfile(path):  # noqa: PTH113 - Path.is_file raises where a name is too long
            wrong.append(f"{line.where}: there is no file '{path}'")
        elif not allow_outside and not path.resolve().is_relative_to(top):
            wrong.append(f"{line.where}: '{row['path']}' leads out of data.root, and data.allow_outside is false")
        elif (same := identity(path)) in seen:
            wrong.append(f"{line.where}: '{row['path']}' is already in {seen[same]}")
        else:
            seen[same] = line.where
            items.append(ImageItem(path, row["label"] or None, row.get("split") == "test", row.get(labels.group or "")))
    refuse_lines(wrong, where, lines[0].unit if lines else "line")
    return items
