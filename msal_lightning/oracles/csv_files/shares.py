"""The shares of several annotators in a labeling batch."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from msal_lightning.errors import AnnotationError
from msal_lightning.oracles.base import LabelingBatch, LabelingTask
from msal_lightning.oracles.csv_files.csv_file import plain_path, read_lines

_NAME = re.compile(r"[^\W_][\w-]*")  # a part of a file name


@dataclass(frozen=True)
class Share:
    """The images that one annotator labels.

    Attributes:
        annotator: name; blank for a batch that is not split.
        batch: the images, with their ranks in the whole batch.
    """

    annotator: str
    batch: LabelingBatch

    @property
    def file(self) -> Path:
        """The CSV file that the annotator fills in."""
        return self.batch.folder / f"{self.batch.name}.csv"


def check_annotators(annotators: Sequence[str], overlap: float) -> None:
    """Check the options.

    Raises:
        AnnotationError: a name is unusable or repeated, or the share is out of range.
    """
    if wrong := [name for name in annotators if not _NAME.fullmatch(name)]:
        raise AnnotationError(
            f"expected names of letters, digits, _ and - in oracle.annotators, got '{wrong[0]}': files have these names"
        )
    if len({name.casefold() for name in annotators}) < len(annotators):
        raise AnnotationError(f"expected different names in oracle.annotators, got {', '.join(annotators)}: change one")
    if not 0 <= overlap <= 1:
        raise AnnotationError(f"expected oracle.overlap to be from 0 to 1, got {overlap}: 0.1 is usual")
    if overlap and len(annotators) < 2:
        raise AnnotationError(
            f"expected at least two names in oracle.annotators with oracle.overlap, got {len(annotators)}: name those "
            "who label the same images"
        )


def split(batch: LabelingBatch, annotators: Sequence[str], overlap: float) -> list[Share]:
    """Split a batch among annotators; every image has one of them, or all of them.

    The images for all are spread evenly over the ranks; the others are dealt out in turn.

    Args:
        batch: the labeling batch.
        annotators: names; empty for a batch that is not split.
        overlap: share of the images that all annotators label; at least one image if above 0.

    Returns:
        The shares of those who get images.
    """
    if not annotators:
        return [Share("", batch)]
    count = len(batch.items)
    for_all = min(count, max(1, round(overlap * count))) if overlap else 0
    taken, turn = {name: list[int]() for name in annotators}, 0
    for k in range(count):
        if (k + 1) * for_all // count > k * for_all // count:
            for items in taken.values():
                items.append(k)
        else:
            taken[annotators[turn % len(annotators)]].append(k)
            turn += 1
    return [
        Share(name, replace(batch, name=f"{batch.name}.{name}", items=tuple(batch.items[k] for k in items)))
        for name, items in taken.items()
        if items
    ]


def check_same_split(batch: LabelingBatch, shares: Sequence[Share]) -> None:
    """Check that the files of a batch, if there are some, belong to these shares.

    Raises:
        AnnotationError: the batch was sent to other annotators.
    """
    there = {file.name for file in batch.folder.glob(f"{batch.name}.csv")}
    there |= {file.name for file in batch.folder.glob(f"{batch.name}.*.csv")}
    if other := sorted(there - {share.file.name for share in shares}):
        raise AnnotationError(
            f"the images of {batch.name} are already requested in '{batch.folder / other[0]}': set oracle.annotators "
            "back until they are labeled"
        )


def find_shares(batch: LabelingBatch) -> list[Share]:
    """Return the shares of a batch as its files on disk have them; none before the files are written.

    The options of an oracle may have changed since, so they do not tell.

    Raises:
        AnnotationError: a file cannot be read.
    """
    shares = []
    for file in sorted([*batch.folder.glob(f"{batch.name}.csv"), *batch.folder.glob(f"{batch.name}.*.csv")]):
        name = file.name.removeprefix(f"{batch.name}.").removesuffix("csv").removesuffix(".")
        part = replace(batch, name=file.name.removesuffix(".csv"))
        shares.append(Share(name, replace(part, items=_items_in(file, batch)) if name else part))
    return shares


def _items_in(file: Path, batch: LabelingBatch) -> tuple[LabelingTask, ...]:
    header, *lines = read_lines(file)
    place = header.fields.index("path")
    there = {plain_path(line.fields[place]) for line in lines if len(line.fields) > place}
    return tuple(item for item in batch.items if plain_path(item.path) in there)
