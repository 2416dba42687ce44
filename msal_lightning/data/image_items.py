"""Lists of images with their labels: from class folders, from a folder without labels, or from a CSV file."""

import os
from dataclasses import dataclass
from pathlib import Path

from msal_lightning.data.label_table import read_table, refuse_lines
from msal_lightning.data.listing import Identity, identity, list_images, say_left_out
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
    """

    path: Path
    label: str | None
    is_test: bool = False


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


def list_all_images(root: Path, csv: str | None, test_root: str | None, former: bool = False) -> list[ImageItem]:
    """Return all images below a folder, with labels from a CSV file if it has them.

    Args:
        root: the folder.
        csv: file with the columns path and label; labels may be blank.
        test_root: folder whose images are left out.
        former: list only the kinds of files that earlier versions read.

    Raises:
        DataError: there is no such folder, no image, or the CSV file is wrong.
    """
    if not root.is_dir():
        raise DataError(f"expected data.root '{root}' to be a folder of images, found none: correct it")
    listed = {identity(item.path): item for item in list_csv(Path(csv), root, blank=True)} if csv else {}
    listing = list_images({"": root}, root, former, ignore=[csv] if csv else [])
    say_left_out(listing)
    found = listing.images[""]
    if test_root is not None:
        tested = Path(os.path.normpath(test_root))
        found = [path for path in found if tested not in Path(os.path.normpath(path)).parents]
    items = [listed.pop(identity(path), ImageItem(path, None)) if listed else ImageItem(path, None) for path in found]
    items = without_skipped(items)
    if listed:
        raise DataError(
            f"expected the files that data.csv '{csv}' names to be images below data.root '{root}', got "
            f"{name_some(sorted(str(item.path) for item in listed.values()))} too: correct one of the two"
        )
    if not any(not item.is_test for item in items):
        raise DataError(f"expected images below data.root '{root}', found none: set it to your folder")
    return items


def without_skipped(items: list[ImageItem]) -> list[ImageItem]:
    """Remove images that an annotator marked as skipped or unsure instead of a class."""
    if out := [item for item in items if item.label in REASONS]:
        say(f"{len(out)} of {len(items)} images are left out: data.csv says {' or '.join(REASONS)}")
    return [item for item in items if item.label not in REASONS]


def list_csv(file: Path, root: Path, blank: bool = False, allow_outside: bool = True) -> list[ImageItem]:
    """Return the images that a CSV file names, in its order.

    Args:
        file: file with the columns path and label, and optionally split with train or test.
        root: folder in which the paths begin.
        blank: whether training images may have no label.
        allow_outside: whether paths may lead out of ``root``.

    Raises:
        DataError: the file is damaged, or some lines are wrong.
    """
    where, top = f"data.csv '{file}'", root.resolve()
    _, lines = read_table(file, ("path", "label"), where)
    items, wrong, seen = [], [], dict[Identity, int]()
    for line in lines:
        number, row, _ = line
        path = root / row["path"]
        if line.damage:
            wrong.append(line.damage)
        elif not row["path"] or not (row["label"] or (blank and row.get("split") != "test")):
            wrong.append(f"line {number}: path or label is blank")
        elif line.wrong_split:
            wrong.append(line.wrong_split)
        elif not os.path.isfile(path):  # noqa: PTH113 - Path.is_file raises where a name is too long
            wrong.append(f"line {number}: there is no file '{path}'")
        elif not allow_outside and not path.resolve().is_relative_to(top):
            wrong.append(f"line {number}: '{row['path']}' leads out of data.root, and data.allow_outside is false")
        elif (same := identity(path)) in seen:
            wrong.append(f"line {number}: '{row['path']}' is already in line {seen[same]}")
        else:
            seen[same] = number
            items.append(ImageItem(path, row["label"] or None, row.get("split") == "test"))
    refuse_lines(wrong, where)
    return items
