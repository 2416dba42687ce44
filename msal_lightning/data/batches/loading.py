"""Views of the images for loaders."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset


class ImageStore(Protocol):
    """Images that can be indexed: a tensor, or files that are decoded on access."""

    @property
    def shape(self) -> Sequence[int]:
        """(N, C, H, W)."""

    @property
    def dtype(self) -> torch.dtype:
        """uint8."""

    def __getitem__(self, index: Tensor) -> Tensor:
        """The images at (B,) int64 indices: (B, C, H, W) uint8."""


class ImageSet(NamedTuple):
    """A set of images with their labels.

    Attributes:
        image: (N, C, H, W) uint8.
        label: (N,) int64.
    """

    image: ImageStore
    label: Tensor


class Batch(NamedTuple):
    """One batch for the model.

    Attributes:
        index: (B,) int64, dataset-absolute.
        image: (B, C, H, W): uint8 from the loader, normalized float32 in the model.
        label: (B,) int64; -1 for images of the pool.
    """

    index: Tensor  # type: ignore[assignment] # hides tuple.index, which nobody asks of a batch
    image: Tensor
    label: Tensor


class IndexedImages(Dataset[Batch]):
    """Batches of uint8 images out of the one storage; ``view[indices]`` is a whole batch.

    Args:
        image: (N, C, H, W) uint8, shared, never copied.
        label: (N,) of an integer type, shared; -1 where unknown.
    """

    def __init__(self, image: ImageStore, label: Tensor) -> None:
        self.image = image
        self.label = label

    def __getitem__(self, index: Tensor) -> Batch:
        rows = index
        if isinstance(self.image, Tensor):  # indexing a GPU's tensor by one of the host would wait for the GPU
            rows = index.to(self.image.device, non_blocking=True)
        return Batch(index, self.image[rows], self.label[index].long())


def displayable(image: Tensor) -> NDArray[np.uint8]:
    """An image as a person can see it: its colours, the first three of more bands, or the first of two.

    Args:
        image: (C, H, W) uint8.

    Returns:
        (H, W, 3), or (H, W) in grey.
    """
    shown = image[:3] if len(image) >= 3 else image[0]
    pixels: NDArray[np.uint8] = (shown.permute(1, 2, 0) if shown.ndim == 3 else shown).contiguous().numpy()
    return pixels


def shard(index: Tensor, rank: int, ranks: int) -> Tensor:
    """The part of some indices that one of several processes looks at; each index is in one part only."""
    return index[rank::ranks]
