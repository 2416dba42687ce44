"""The order of a run's images or rows, when some were added to it or removed from it."""

from collections.abc import Sequence
from dataclasses import dataclass

IMBALANCE = (
    "expected no data.imbalance in a run with added or removed images, because it would draw others: begin another run"
)
"""Why images of a long-tailed version stay the same."""


@dataclass(frozen=True)
class ImageOrder:
    """Which images are which index, whatever lies in the folder by now.

    Attributes:
        train: path of each training image, below data.root; its place is its index.
        test: path of each test image.
        num_first: number of training images that the run began with; later ones enter the pool when they were added.
        removed: paths of images that were removed; their files may be gone.
        class_names: names of the classes at the start.
    """

    train: Sequence[str]
    test: Sequence[str]
    num_first: int
    removed: frozenset[str]
    class_names: Sequence[str]

    @property
    def late(self) -> range:
        """Indices of the images that were added after the start of the run."""
        return range(self.num_first, len(self.train))


@dataclass(frozen=True)
class RowOrder:
    """Which rows of features follow those that a run began with.

    Attributes:
        folders: folders below data.root, each with the index of its first row and the one after its last row.
        class_names: names of the classes at the start.
    """

    folders: tuple[tuple[str, int, int], ...]
    class_names: tuple[str, ...]

    @property
    def late(self) -> range:
        """Indices of the rows that were added after the start of the run."""
        return range(self.folders[0][1], self.folders[-1][2])
