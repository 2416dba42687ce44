"""The images or rows of a run that a file names, so that they leave it."""

from collections.abc import Sequence
from pathlib import Path

import torch

from msal_lightning.cli.amend.new_images import data_of
from msal_lightning.data.base import ActiveDataModule
from msal_lightning.data.label_files.label_table import read_table, refuse_lines
from msal_lightning.datasets.image_folder import ImageFolder
from msal_lightning.errors import DataError, RunError
from msal_lightning.runs.amendments import Remove, RemoveRows
from msal_lightning.runs.image_order import image_order, paths_at_start, read_as_recorded
from msal_lightning.runs.pending import all_pending
from msal_lightning.runs.reading import Run


def find_removed(run: Run, file: Path, changes: Sequence[str], trusted: Sequence[str]) -> Remove:
    """Read which images leave a run.

    Args:
        run: with a finished round.
        file: CSV with the column path.
        changes: options of ``fit`` about the data.
        trusted: classes that a stranger's configuration may name.

    Raises:
        UserError: the file names an image that the run does not know, or whose label is requested now.
    """
    data = data_of(run, changes, trusted)
    is_folder = isinstance(data, ImageFolder)
    train, test = _paths_of(run) if is_folder else (_names_of(run, data), [])
    place = {path: index for index, path in enumerate(train)}
    gone, tested, wrong, chosen = run.amendments.removed, {*test}, list[str](), dict[int, str]()
    _, lines = read_table(file, ("path",), f"FILE '{file}'")
    for line in lines:
        path = line.fields["path"].removeprefix("./")
        if line.damage:
            wrong.append(line.damage)
        elif path in tested:
            wrong.append(f"line {line.number}: '{path}' is a test image; all rounds are tested on the same images")
        elif path not in place:
            wrong.append(f"line {line.number}: the run has no training image '{path}'")
        elif place[path] in gone:
            wrong.append(f"line {line.number}: '{path}' was removed before")
        elif place[path] in chosen:
            wrong.append(f"line {line.number}: '{path}' is there twice")
        else:
            chosen[place[path]] = path
    refuse_lines(wrong, f"FILE '{file}'")
    if not chosen:
        raise DataError(f"expected images of the run in FILE '{file}', got none: nothing to do")
    _refuse_requested(run, chosen)
    labeled = {row for one in run.records for part, _ in one.moves() for row in part.index}
    left = len(train) - len(gone)
    kind = Remove if is_folder else RemoveRows
    return kind(left, left - len(chosen), [*chosen], [*chosen.values()], len(labeled & chosen.keys()))


def _paths_of(run: Run) -> tuple[Sequence[str], Sequence[str]]:
    """Return the paths of training and test images, whose files may be gone already."""
    order = image_order(run.folder, run.amendments, run.records[0])
    return (order.train, order.test) if order else paths_at_start(run.folder)


def _names_of(run: Run, data: ActiveDataModule) -> list[str]:
    """Return the name of each row in the ledger: the path of its image, or its index."""
    read_as_recorded(data, run.folder, run.amendments, run.records[0])
    data.setup()
    index = torch.arange(data.images.shape[0])
    paths = data.paths(index)
    return [*map(str, index.tolist())] if paths is None else paths


def _refuse_requested(run: Run, chosen: dict[int, str]) -> None:
    """Refuse images whose labels are requested now."""
    asked = {
        item.index for one in all_pending(run.folder) for exchange in one.exchanges for item in exchange.batch.items
    }
    if waiting := [path for row, path in chosen.items() if row in asked]:
        raise RunError(
            f"expected no images whose labels are requested now, got '{waiting[0]}': give it the label skip, and "
            "remove it after the next round"
        )
