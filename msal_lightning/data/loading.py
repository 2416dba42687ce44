"""Views of the images for loaders, and the order of training batches."""

import multiprocessing
import os
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from msal_lightning.seeding import stream


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
        label: (N,) int64, shared; -1 where unknown.
    """

    def __init__(self, image: ImageStore, label: Tensor) -> None:
        self.image = image
        self.label = label

    def __getitem__(self, index: Tensor) -> Batch:
        rows = index
        if isinstance(self.image, Tensor):  # indexing a GPU's tensor by one of the host would wait for the GPU
            rows = index.to(self.image.device, non_blocking=True)
        return Batch(index, self.image[rows], self.label[index])


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


class EpochBatches(Sampler[Tensor]):
    """Batches of indices in an order derived from (seed, epoch).

    A last batch of one, on which BatchNorm fails, joins the batch before it; a single image is paired with itself.
    Several processes share each batch of one process: every process takes the same number of images, so that averaged
    gradients are those of the batch. Where a last batch does not divide, some of its images are taken twice.

    Args:
        index: (n,) int64.
        batch_size: indices per batch.
        seed: seed of the round's shuffle stream.
        rank: rank of this process.
        ranks: number of processes.
        per_device: the batch size is that of each process; the order is filled up from its start where it does not
            divide.
    """

    def __init__(
        self, index: Tensor, batch_size: int, seed: int, rank: int = 0, ranks: int = 1, per_device: bool = False
    ) -> None:
        self.index = index
        self.batch_size = batch_size
        self.seed = seed
        self.rank = rank
        self.ranks = ranks
        self.per_device = per_device
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Move to an epoch; Lightning calls this before each one."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[Tensor]:
        order = self.index[torch.randperm(len(self.index), generator=stream(self.seed, "shuffle", self.epoch))]
        if self.per_device:
            filled = torch.arange(self._length * self.ranks) % max(1, len(order))
            yield from _split(shard(order[filled], self.rank, self.ranks), self.batch_size)
        else:
            for batch in _split(order, self.batch_size):
                yield _share(batch, self.rank, self.ranks)

    def __len__(self) -> int:
        full, rest = divmod(self._length, self.batch_size)
        return max(1, full + (rest > 1))

    @property
    def _length(self) -> int:
        """Length of the sequence that is divided into batches: the order, or a process's part of it."""
        return -(-len(self.index) // self.ranks) if self.per_device else len(self.index)


def _split(index: Tensor, batch_size: int) -> Sequence[Tensor]:
    if len(index) == 1:
        index = index.repeat(2)
    sizes = [batch_size] * (len(index) // batch_size)
    if rest := len(index) % batch_size:
        sizes.append(rest)
    if len(sizes) > 1 and sizes[-1] == 1:
        sizes[-2:] = [sizes[-2] + 1]
    return torch.split(index, sizes)


def _share(batch: Tensor, rank: int, ranks: int) -> Tensor:
    """The part of a batch for one of several processes: at least two images, as many as for the others."""
    if ranks == 1:
        return batch
    size = max(2, -(-len(batch) // ranks))
    return batch[torch.arange(rank * size, (rank + 1) * size) % len(batch)]


def end_if_orphaned(worker: int) -> None:
    """End a process that reads images if the process that forked it has been killed in the meantime.

    A worker of torch 2.14 remembers its parent after this call only: if the parent is gone by then, it never ends.
    """
    parent = multiprocessing.parent_process()
    if parent is not None and multiprocessing.get_start_method() == "fork" and os.getppid() != parent.pid:
        os._exit(1)
