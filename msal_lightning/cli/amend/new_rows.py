"""A folder of features whose rows a run does not know."""

import os
from pathlib import Path

import torch

from msal_lightning.data.features.added_rows import read_added
from msal_lightning.data.features.feature_files import open_features
from msal_lightning.data.features.feature_folder import list_files
from msal_lightning.data.fingerprint import as_list, look_at_files, mark_group
from msal_lightning.data.labels import UNKNOWN, mark_of_all
from msal_lightning.datasets.embeddings import Embeddings
from msal_lightning.errors import ConfigError, DataError
from msal_lightning.io.names import name_some
from msal_lightning.io.wording import counted
from msal_lightning.runs.amendments import AddRows
from msal_lightning.runs.image_order import row_order
from msal_lightning.runs.reading import Run


def find_new_rows(run: Run, data: Embeddings, folder: Path, class_names: list[str]) -> AddRows:
    """Read the features of a folder that a run does not know.

    Args:
        run: with a finished round.
        data: of the run, with all amendments.
        folder: below data.root, with features of the same network.
        class_names: names that classes have in the data.

    Raises:
        UserError: the folder lies elsewhere, is known already, or its features or labels do not fit the run.
    """
    root = Path(data.root)
    if not folder.resolve().is_relative_to(root.resolve()) or folder.resolve() == root.resolve():
        raise ConfigError(
            f"expected FOLDER to be a folder of its own below data.root '{root}', where the run finds the rows again, "
            f"got '{folder}': write the features to '{root / folder.name}'"
        )
    name = folder.resolve().relative_to(root.resolve()).as_posix()
    order = row_order(run.amendments, run.records[0])
    if order and name in {known for known, *_ in order.folders}:
        raise DataError(f"expected a folder that the run does not know, got '{folder}', which was added before")
    like = open_features(list_files(root, "data.root")[0])
    added = read_added(folder, root, like, class_names, data.image_folder, data.group)
    old, unknown = data.images.shape[0], int((added.label == UNKNOWN).sum())
    if unknown and not run.records[0].skipped:
        raise DataError(
            f"expected labels of all rows in '{folder}', because nobody labels them in a run with oracle Simulated, "
            f"got {counted(unknown, 'row')} without: add them to labels.csv"
        )
    paths = data.paths(torch.arange(old))
    if paths is not None and (known := sorted({*paths} & {*(added.names or ())})):
        raise DataError(
            f"expected images that the run does not know in '{folder}', got {name_some(known)}: leave them out"
        )
    files = [(f"{name}/{file.name}", os.path.abspath(file)) for file in added.paths]  # noqa: PTH100 - as row_files
    marks = [mark_of_all(torch.from_numpy(added.label))] * len(files)
    group = "" if added.groups is None else mark_group(*added.groups)
    found = look_at_files(files, marks, data.verify == "content")
    images = [as_list(one._replace(group=group)) for one in found]
    tests = set() if added.groups is None else _tested_groups(data)
    tested = sum(name in tests for name in added.groups or ())
    return AddRows(old, old + len(added.rows), images, name, tested=tested)


def _tested_groups(data: Embeddings) -> set[str]:
    """Return the groups that are tested on only."""
    names = data.group_names["train"]
    if data.test_only is None:
        return {*data.group_names["test"]} - {*names}
    return {name for name, is_tested in zip(names, data.test_only.tolist(), strict=True) if is_tested}
