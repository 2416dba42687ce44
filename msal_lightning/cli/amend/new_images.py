"""Images or rows of features below the root of a run's data that the run does not know."""

import io
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path

import torch

from msal_lightning.cli.amend.new_rows import find_new_rows
from msal_lightning.cli.amend.present_data import data_of, present_data
from msal_lightning.data.class_numbers import SPLIT
from msal_lightning.data.fingerprint import FILE, as_list, look_at_files, mark_group, read_fingerprint
from msal_lightning.data.group_split import groups_to_test
from msal_lightning.data.groups import number_groups
from msal_lightning.data.images.image_items import ImageItem
from msal_lightning.data.images.relative import relative
from msal_lightning.data.labels import UNKNOWN, label_marks
from msal_lightning.datasets.embeddings import Embeddings
from msal_lightning.datasets.image_folder import ImageFolder
from msal_lightning.errors import ConfigError, DataError
from msal_lightning.io.names import name_some
from msal_lightning.runs.amendments import Add
from msal_lightning.runs.classes import class_names
from msal_lightning.runs.image_order import image_order, paths_at_start
from msal_lightning.runs.reading import Run


def find_new(run: Run, folder: Path, changes: Sequence[str], trusted: Sequence[str]) -> Add:
    """Find images or rows below a folder that a run does not know.

    Args:
        run: with a finished round.
        folder: data.root of the run, or a folder below it.
        changes: options of ``fit`` about the data.
        trusted: classes that a stranger's configuration may name.

    Raises:
        UserError: the data cannot grow, the folder lies elsewhere, or it has nothing new.
    """
    with data_of(run, changes, trusted) as data:
        data.check_may_change()
        if isinstance(data, ImageFolder):
            data.resume_as(run.records[0].resolved)
            return _find_new_images(run, data, folder)
        if not isinstance(data, Embeddings):
            raise ConfigError(
                f"expected a run on data ImageFolder or Embeddings for `add`, got {type(data).__name__}: begin another "
                "run with all of it"
            )
    present = present_data(run, changes, trusted)
    assert isinstance(present, Embeddings)
    return find_new_rows(run, present, folder, _names_in_files(run))


def _find_new_images(run: Run, data: ImageFolder, folder: Path) -> Add:
    """Find new images, in the order of their paths."""
    order = image_order(run.folder, run.amendments, run.records[0])
    train, test = (order.train, order.test) if order else paths_at_start(run.folder)
    if not folder.resolve().is_relative_to(Path(data.root).resolve()):
        raise ConfigError(
            f"expected FOLDER to be in data.root '{data.root}', where the run finds the images again, got '{folder}': "
            "move it there"
        )
    with redirect_stdout(io.StringIO()):  # its notes concern all images
        found, _ = data.list_files()
    known = {*train, *(test if data.test_root is None else ())}
    named = {relative(str(item.path), data.root): item for item in found}
    new = {path: item for path, item in named.items() if path not in known and _is_below(item, folder)}
    if tests := [path for path, item in new.items() if item.is_test]:
        raise DataError(f"expected new training images, got {name_some(tests)} in the split test: the test set stays")
    if not new:
        raise DataError(f"expected images in '{folder}' that the run does not know, found none: nothing to do")
    names = _names_in_files(run)
    if unknown := sorted({item.label for item in new.values() if item.label is not None} - {*names}):
        raise DataError(f"expected classes of the run, got {name_some(unknown)}: rename the folders, or leave them out")
    _refuse_split(run, {item.label for item in new.values()})
    labels = torch.full((len(train) + len(new),), UNKNOWN)
    for row, item in enumerate(new.values(), len(train)):
        labels[row] = UNKNOWN if item.label is None else names.index(item.label)
    files = [(path, str(item.path.absolute())) for path, item in new.items()]
    images = look_at_files(files, label_marks(labels)[len(train) :], data.verify == "content")
    if data.group is not None:
        marks = map(mark_group, data.names_of_groups([*new.values()], data.root))
        images = [image._replace(group=mark) for image, mark in zip(images, marks, strict=True)]
    tested_groups = _tested_groups(run, data)
    tested = sum(image.group in tested_groups for image in images)
    return Add(len(train), len(train) + len(images), [as_list(image) for image in images], tested=tested)


def _tested_groups(run: Run, data: ImageFolder) -> set[str]:
    """Return the marks of the groups that are tested on only, as the fingerprint has them."""
    if data.group is None:
        return set()
    known = [*read_fingerprint(run.folder / FILE)]
    first = [image.group for image in known if image.part == "train"]
    tested = {image.group for image in known if image.part == "test"}
    if tested:
        return tested - {*first}
    groups = torch.from_numpy(number_groups(first))
    is_tested = groups_to_test(groups, len(first), data.test_fraction, data.test_seed).tolist()
    return {mark for mark, tests in zip(first, is_tested, strict=True) if tests}


def _names_in_files(run: Run) -> list[str]:
    """Return the names that classes have in the data: merged and renamed ones keep their folders."""
    changes = run.amendments.reclassed()
    return changes[0].old if changes else class_names(run.records)


def _refuse_split(run: Run, labels: set[str | None]) -> None:
    """Refuse labels of a class that was split, since they do not tell which part of it."""
    names: dict[str | None, str] = {name: name for name in _names_in_files(run)}
    for change in run.amendments.reclassed():
        for old, now in names.items():
            if now in change.old and change.numbers[change.old.index(now)] == SPLIT and old in labels:
                raise DataError(
                    f"expected no new images of '{old}', since '{now}' was split after the run had begun: leave them "
                    "out, or begin another run with all images"
                )
        names = {old: change.new[change.numbers[change.old.index(now)]] for old, now in names.items()}


def _is_below(item: ImageItem, folder: Path) -> bool:
    return item.path.resolve().is_relative_to(folder.resolve())
