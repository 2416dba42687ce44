"""The images or rows of a run that a file names, so that they leave it."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from msal_lightning.cli.amend.present_data import present_data
from msal_lightning.data.image_order import IMBALANCE
from msal_lightning.data.label_files.label_table import Line, read_table, refuse_lines
from msal_lightning.data.places import Place
from msal_lightning.errors import DataError, RunError
from msal_lightning.runs.amendments import Remove, RemoveRows
from msal_lightning.runs.image_order import has_image_files, image_order, paths_at_start
from msal_lightning.runs.pending import all_pending
from msal_lightning.runs.reading import Run


@dataclass(frozen=True)
class Known:
    """The training images of a run.

    Attributes:
        names: name of each in the ledger: its path, or its index where the data has no paths.
        tested: paths of test images, for a message; empty if unknown.
        left_out: indices of images that the run does not use.
        pooled: indices of the images that a query may select.
        kind: the amendment that removes some of them.
    """

    names: Sequence[str]
    tested: Collection[str]
    left_out: Collection[int]
    pooled: Collection[int]
    kind: type[Remove]


def find_removed(run: Run, file: Path, changes: Sequence[str], trusted: Sequence[str]) -> Remove:
    """Read which images leave a run. A path that several rows share means all of them.

    Args:
        run: with a finished round.
        file: CSV with the column path.
        changes: options of ``fit`` about the data.
        trusted: classes that a stranger's configuration may name.

    Raises:
        UserError: the file names an image that the run does not know, or whose label is requested now.
    """
    _, lines = read_table(file, ("path",), f"FILE '{file}'")
    known = _files(run) if has_image_files(run.folder, run.records[0]) else _rows(run, changes, trusted)
    chosen = _chosen(lines, known, run.amendments.removed, f"FILE '{file}'")
    if not chosen:
        raise DataError(f"expected images of the run in FILE '{file}', got none: nothing to do")
    _refuse_requested(run, chosen)
    labeled = chosen.keys() & _labeled(run)
    left = len(known.names) - len(run.amendments.removed)
    pooled = len(chosen.keys() & {*known.pooled})
    return known.kind(left, left - len(chosen), [*chosen], [*chosen.values()], len(labeled), pooled=pooled)


def _chosen(lines: Iterable[Line], known: Known, gone: Collection[int], where: str) -> dict[int, str]:
    """Return the name of each image that the lines name, by index."""
    places = dict[str, list[int]]()
    for index, name in enumerate(known.names):
        places.setdefault(name, []).append(index)
    wrong, chosen = list[str](), dict[int, str]()
    for line in lines:
        name = line.fields["path"].removeprefix("./")
        found = [index for index in places.get(name, ()) if index not in known.left_out]
        if line.damage:
            wrong.append(line.damage)
        elif name in known.tested:
            wrong.append(f"line {line.number}: '{name}' is a test image; all rounds are tested on the same images")
        elif not found:
            wrong.append(f"line {line.number}: the run has no training image '{name}'; test images cannot be removed")
        elif all(index in gone for index in found):
            wrong.append(f"line {line.number}: '{name}' was removed before")
        elif any(index in chosen for index in found):
            wrong.append(f"line {line.number}: '{name}' is there twice")
        else:
            chosen |= {index: name for index in found if index not in gone}
    refuse_lines(wrong, where)
    return chosen


def _files(run: Run) -> Known:
    """Return images that are files; some may be gone already."""
    if run.config.get("data.init_args.imbalance") is not None:
        raise DataError(IMBALANCE)
    order = image_order(run.folder, run.amendments, run.records[0])
    train, test = (order.train, order.test) if order else paths_at_start(run.folder)
    skipped = {index for one in run.records if one.skipped for index in one.skipped.index}
    return Known(train, {*test}, (), {*range(len(train))} - _labeled(run) - skipped, Remove)


def _rows(run: Run, changes: Sequence[str], trusted: Sequence[str]) -> Known:
    """Return rows of features, or images in memory or in files of many."""
    data = present_data(run, changes, trusted)
    index = torch.arange(data.images.shape[0])
    left_out = (data.labeled_at == Place.LEFT_OUT).nonzero()[:, 0].tolist()
    names = data.paths(index) or [*map(str, index.tolist())]
    return Known(names, (), {*left_out}, data.pool.tolist(), RemoveRows)


def _labeled(run: Run) -> set[int]:
    return {index for one in run.records for part, _ in one.moves() for index in part.index}


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
