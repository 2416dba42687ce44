"""The labels of features: an array or a CSV file beside them, and a file of labels from elsewhere."""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from msal_lightning.data.groups import group_names
from msal_lightning.data.label_files.label_table import (
    Line,
    class_order,
    read_table,
    refuse_class_numbers,
    refuse_lines,
)
from msal_lightning.data.label_files.reading import read_label_file
from msal_lightning.data.labels import UNKNOWN
from msal_lightning.data.places import REASONS
from msal_lightning.errors import DataError
from msal_lightning.io.terminal import say
from msal_lightning.io.wording import counted


@dataclass(frozen=True)
class FeatureLabels:
    """What is known about the rows of a folder of features.

    Attributes:
        label: (N,) int64 numbers of classes, -1 where unknown.
        names: C names of the classes.
        paths: the image behind each row; None if unknown.
        is_test: (N,) bool, the rows to test on; None if no column says so.
        left_out: (N,) bool, the rows that an annotator marked as skipped or unsure; None if there are none.
        groups: name of the group of each row; None without ``data.group``.
    """

    label: NDArray[np.int64]
    names: tuple[str, ...]
    paths: list[str] | None = None
    is_test: NDArray[np.bool_] | None = None
    left_out: NDArray[np.bool_] | None = None
    groups: list[str] | None = None

    @property
    def unknown(self) -> NDArray[np.bool_]:
        """Which rows somebody has yet to label, (N,)."""
        unlabeled: NDArray[np.bool_] = self.label == UNKNOWN
        return unlabeled if self.left_out is None else unlabeled & ~self.left_out

    def rows(self, part: NDArray[np.bool_] | None = None) -> NDArray[np.int64] | None:
        """Return the numbers of the rows of a part that are not left out; None for all rows.

        Args:
            part: (N,) bool; None for all rows.
        """
        if self.left_out is not None:
            part = ~self.left_out if part is None else part & ~self.left_out
        return None if part is None else np.flatnonzero(part)

    def groups_at(self, rows: NDArray[np.int64] | None) -> list[str]:
        """Return the names of the groups of some rows; None for all rows."""
        assert self.groups is not None
        return self.groups if rows is None else [self.groups[row] for row in rows.tolist()]


def read_labels(
    folder: Path,
    count: int,
    classes: list[str] | None,
    group: str | None = None,
    named: Callable[[str], str] = lambda path: path,
) -> FeatureLabels:
    """Read ``labels.csv`` or ``labels.npy``; without both no label is known.

    Args:
        folder: the folder of the features.
        count: N, number of rows.
        classes: names of the classes in the order of their numbers; by default those in the CSV file, or the numbers.
        group: column with the group of each row, or a regular expression on the column path; None for no groups.
        named: makes the path that the expression sees from that in the column.

    Raises:
        DataError: the file is damaged, or has another number of rows or other classes.
    """
    if (folder / "labels.csv").is_file():
        found = _from_csv(folder / "labels.csv", classes, group, named)
    elif group is not None:
        raise DataError(f"expected '{folder}/labels.csv' for data.group, because groups are in it, got no such file")
    elif (folder / "labels.npy").is_file():
        found = _from_array(folder / "labels.npy", classes)
    else:
        return FeatureLabels(np.full(count, UNKNOWN), tuple(classes or ()))
    if len(found.label) != count:
        raise DataError(
            f"expected one label for each of the {count:,} rows of features in '{folder}', got {len(found.label):,}: "
            "write features and labels again, in the same order"
        )
    return found


def _from_array(file: Path, classes: list[str] | None) -> FeatureLabels:
    try:
        label = np.load(file, mmap_mode="c", allow_pickle=False)  # c: torch wants it writable
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"cannot read '{file}' ({error}): write it again with numpy.save") from None
    if label.ndim != 1 or label.dtype.kind not in "iu":
        raise DataError(
            f"expected '{file}' to have one whole number a row, (N,) of an integer type, got {label.dtype} "
            f"{label.shape}: one-hot labels become that by argmax(1)"
        )
    highest = int(label.max(initial=UNKNOWN))
    names = tuple(classes) if classes else tuple(map(str, range(highest + 1)))
    if int(label.min(initial=0)) < UNKNOWN or highest >= len(names):
        raise DataError(
            f"expected labels from 0 to {len(names) - 1} in '{file}', or -1 where unknown, got {int(label.min())} to "
            f"{highest}: correct the file or data.classes"
        )
    return FeatureLabels(label.astype(np.int64, copy=False), names)


def _from_csv(
    file: Path, classes: list[str] | None, group: str | None, named_by: Callable[[str], str]
) -> FeatureLabels:
    where = f"'{file}'"
    columns, lines = read_table(file, ("label",), where)
    refuse_lines([why for line in lines if (why := line.damage or line.wrong_split)], where)
    named = [line.fields["label"] for line in lines]
    refuse_class_numbers(named, classes or [], where)
    names = tuple(classes) if classes else class_order({*named} - {"", *REASONS})
    number = {name: c for c, name in enumerate(names)} | dict.fromkeys(("", *REASONS), UNKNOWN)
    if unknown := [name for name in named if name not in number]:
        raise DataError(
            f"expected the labels in {where} to be among data.classes, got '{unknown[0]}': add it, or correct the label"
        )
    label = np.array([number[name] for name in named], dtype=np.int64)
    paths = [line.fields["path"] for line in lines] if "path" in columns else None
    is_test = np.array([line.fields["split"] == "test" for line in lines]) if "split" in columns else None
    groups = None
    if group is not None:
        shown = None if paths is None else [*map(named_by, paths)]
        groups = group_names(group, shown, [line.fields.get(group) for line in lines], ", ".join(columns))
    return FeatureLabels(label, names, paths, is_test, _left_out(named, where), groups)


def _left_out(named: list[str], where: str) -> NDArray[np.bool_] | None:
    """Find the rows that ImageFolder leaves out, too."""
    left_out = np.array([name in REASONS for name in named], dtype=np.bool_)
    if not (count := int(left_out.sum())):
        return None
    say(f"{count} of {counted(len(named), 'row')} are left out: {where} says {' or '.join(REASONS)}")
    return left_out


def with_label_file(known: FeatureLabels, file: Path, images: Path, classes: list[str] | None) -> FeatureLabels:
    """Add the labels of a file to those beside the features.

    Args:
        known: what is known about the rows.
        file: file of labels; its entries have the path of an image, or the index of a training row as in a ledger.
        images: folder in which the paths of the images begin.
        classes: names of the classes in the order of their numbers; by default all names in both places.

    Raises:
        DataError: the file is damaged, names unknown rows, or has other labels than the features.
    """
    where = f"data.labels '{file}'"
    lines = read_label_file(file, where, images)
    refuse_class_numbers((line.fields["label"] for line in lines), classes or known.names, where)
    named = {line.fields["label"] for line in lines} - {"", *REASONS}
    names = tuple(classes) if classes else class_order({*named, *known.names})
    if unknown := sorted(named - {*names}):
        raise DataError(f"expected the labels in {where} to be among data.classes, got '{unknown[0]}': add it")
    number = {name: c for c, name in enumerate(names)} | dict.fromkeys(REASONS, UNKNOWN)
    renumbered = np.array([*(number[name] for name in known.names), UNKNOWN], dtype=np.int64)  # -1 is the last one
    label = renumbered[known.label]
    left_out = np.zeros(len(label), dtype=np.bool_) if known.left_out is None else known.left_out.copy()
    wrong = list[str]()
    for line, row in zip(lines, _rows(known, lines, images, wrong), strict=True):
        text = line.fields["label"]
        if row is None or not text:
            continue
        if label[row] not in (UNKNOWN, number[text]):
            wrong.append(f"{line.where}: '{text}' is '{names[label[row]]}' beside the features")
        label[row], left_out[row] = number[text], text in REASONS
    refuse_lines(wrong, where, lines[0].unit if lines else "line")
    return replace(known, label=label, names=names, left_out=left_out if left_out.any() else None)


def _rows(known: FeatureLabels, lines: list[Line], images: Path, wrong: list[str]) -> list[int | None]:
    """Return the row of each entry; None for a wrong one, which is noted."""
    if lines and "path" not in lines[0].fields:
        train = known.rows(None if known.is_test is None else ~known.is_test)
        by_name = {str(k): row for k, row in enumerate(range(len(known.label)) if train is None else train.tolist())}
        names = [line.fields["index"] for line in lines]
    else:
        by_name = {_below(path, images): row for row, path in enumerate(known.paths or ())}
        names = [_below(line.fields["path"], images) for line in lines]
    wrong += [
        line.damage or line.wrong_split or f"{line.where}: the features have no row of '{name}'"
        for line, name in zip(lines, names, strict=True)
        if line.damage or line.wrong_split or name not in by_name
    ]
    return [by_name.get(name) for name in names]


def _below(path: str, folder: Path) -> str:
    return os.path.relpath(path, folder) if os.path.isabs(path) else os.path.normpath(path)  # noqa: PTH117
