"""The order of a run's images, when images were added to it or removed from it."""

from collections.abc import Sequence
from dataclasses import dataclass


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
