"""Views of the images: what a loader reads, and in which order."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from msal_lightning.streams import stream


class ImageStore(Protocol):
    """Images that can be asked for by index: a tensor, or files that are decoded when asked for."""

    @property
    def shape(self) -> Sequence[int]:
        """(N, C, H, W)."""

    @property
    def dtype(self) -> torch.dtype:
        """uint8."""

    def __getitem__(self, index: Tensor) -> Tensor:
        """The images at (B,) int64 indices: (B, C, H, W) uint8."""


class Images(NamedTuple):
    """A set of images with their labels.

    Attributes:
        image: (N, C, H, W) uint8.
        label: (N,) int64.
    """

    image: ImageStore
    label: Tensor


class Batch(NamedTuple):
    """What the model gets.

    Attributes:
        index: (B,) int64, dataset-absolute.
        image: (B, C, H, W): uint8 from the loader, normalized float32 in the model.
        label: (B,) int64; -1 for images of the pool.
    """

    index: Tensor  # type: ignore[assignment] # hides tuple.index, which nobody asks of a batch
    image: Tensor
    label: Tensor


class View(Dataset[Batch]):
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


def shard(index: Tensor, rank: int, ranks: int) -> Tensor:
    """The part of some indices that one of several processes looks at; each index is in one part only."""
    return index[rank::ranks]


class EpochBatches(Sampler[Tensor]):
    """Batches of indices in an order derived from (seed, epoch).

    A last batch of one, on which BatchNorm fails, joins the batch before it; a single image is paired with itself.
    Several processes get parts of the same order, filled up from its start so that they take the same number of steps
    on batches of the same sizes: gradients are averaged over processes.

    Args:
        index: (n,) int64.
        batch_size: indices per batch, of each process.
        seed: of the round's shuffle stream.
        rank: of this process.
        ranks: number of processes.
    """

    def __init__(self, index: Tensor, batch_size: int, seed: int, rank: int = 0, ranks: int = 1) -> None:
        self.index = index
        self.batch_size = batch_size
        self.seed = seed
        self.rank = rank
        self.ranks = ranks
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Move to an epoch; Lightning calls this before each one."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[Tensor]:
        order = torch.randperm(len(self.index), generator=stream(self.seed, "shuffle", self.epoch))
        filled = torch.arange(self._per_rank * self.ranks) % max(1, len(order))
        index = shard(self.index[order[filled]], self.rank, self.ranks)
        if len(index) == 1:
            index = index.repeat(2)
        sizes = [self.batch_size] * (len(index) // self.batch_size)
        if rest := len(index) % self.batch_size:
            sizes.append(rest)
        if len(sizes) > 1 and sizes[-1] == 1:
            sizes[-2:] = [sizes[-2] + 1]
        yield from torch.split(index, sizes)

    def __len__(self) -> int:
        full, rest = divmod(self._per_rank, self.batch_size)
        return max(1, full + (rest > 1))

    @property
    def _per_rank(self) -> int:
        return -(-len(self.index) // self.ranks)
