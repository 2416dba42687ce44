"""Rows of features in folders that were added to a run, behind those that it began with."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from msal_lightning.data.features.feature_files import FeatureFile
from msal_lightning.data.features.feature_folder import list_files, open_files
from msal_lightning.data.features.feature_labels import read_labels
from msal_lightning.data.features.manifest import MANIFEST, read_manifest
from msal_lightning.data.features.source_images import read_source
from msal_lightning.data.images.relative import relative
from msal_lightning.errors import DataError


@dataclass(frozen=True)
class AddedRows:
    """The rows of one folder.

    Attributes:
        paths: its files of features.
        files: the same files, open.
        rows: (n,) ascending numbers of its rows; images that an annotator skipped are left out.
        label: (n,) int64 numbers of classes, -1 where unknown.
        source: folder in which the paths of its images begin.
        images: path of the image behind each row, below source; None if unknown.
        names: the same path from the folder of the run's first images; None if unknown.
        groups: name of the group of each row; None without ``data.group``.
    """

    paths: list[Path]
    files: list[FeatureFile]
    rows: NDArray[np.int64]
    label: NDArray[np.int64]
    source: Path
    images: list[str] | None
    names: list[str] | None
    groups: list[str] | None

    @property
    def size(self) -> int:
        """Number of rows in the files."""
        return sum(file.shape[0] for file in self.files)


def read_added(
    folder: Path, root: Path, like: FeatureFile, class_names: Sequence[str], first_images: Path, group: str | None
) -> AddedRows:
    """Open the features of a folder, and read their labels.

    Args:
        folder: the folder.
        root: the folder of the run's first features, which the same network computed.
        like: a file of them.
        class_names: names of the classes in the order of their numbers.
        first_images: folder of the images behind the first features.
        group: ``data.group`` of the run; None for no groups.

    Raises:
        DataError: files are missing or damaged, the features are those of another network, or rows are to test on.
    """
    _check_same_network(folder, root)
    paths = list_files(folder, "FOLDER")
    files = open_files(paths, like)
    source, count = read_source(folder)[0], sum(file.shape[0] for file in files)

    def named(path: str) -> str:
        return relative(str(source / path), str(first_images))

    labels = read_labels(folder, count, [*class_names] or None, group, named)
    if labels.is_test is not None and labels.is_test.any():
        raise DataError(f"expected training rows in '{folder}', got some in the split test: the test part stays")
    if new := [name for name in labels.names if name not in class_names]:
        raise DataError(f"expected classes of the run in '{folder}', got '{new[0]}': correct the labels, or blank them")
    kept = labels.rows()
    rows = np.arange(len(labels.label)) if kept is None else kept
    images = None if labels.paths is None else [labels.paths[row] for row in rows.tolist()]
    groups = None if labels.groups is None else labels.groups_at(rows)
    names = None if images is None else [*map(named, images)]
    return AddedRows(paths, files, rows, labels.label[rows], source, images, names, groups)


def _check_same_network(folder: Path, root: Path) -> None:
    """Compare the manifests of two folders, where both have one."""
    first, other = read_manifest(root), read_manifest(folder)
    if first is None or other is None:
        return
    for key in ("model", "preprocessing", "dtype"):
        was, now = first.get(key), other.get(key)
        if key == "model":  # its options may name files, which the digest of the weights knows
            was, now = ({**one, "init_args": None} if isinstance(one, dict) else one for one in (was, now))
        if was != now:
            raise DataError(
                f"expected the {key} of '{root / MANIFEST}' in '{folder / MANIFEST}', got another one: compute the "
                "features with the same options of `embed`"
            )
