"""The order of training images in an epoch, cut into batches."""

from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor
from torch.utils.data import Sampler

from msal_lightning.data.class_balance import balanced_rows
from msal_lightning.seeding import stream

LastBatch = Literal["balanced", "keep"]


class EpochBatches(Sampler[Tensor]):
    """Batches of indices in an order derived from (seed, epoch).

    No batch has one image, on which BatchNorm fails; a single image is paired with itself. Several processes share each
    batch: every process takes the same number of images, so that averaged gradients are those of the batch. Where a
    batch does not divide, some of its images are taken twice.

    Args:
        index: (n,) int64.
        batch_size: indices per batch.
        seed: seed of the round's shuffle stream.
        rank: rank of this process.
        ranks: number of processes.
        per_device: the batch size is that of each process; the order is filled up from its start where it does not
            divide.
        last_batch: balanced cuts the order into batches of nearly the same size; keep fills every batch but the last.
        labels: (n,) classes of the indices, to draw the same number of each class in an epoch; None takes each index
            once.
    """

    def __init__(
        self,
        index: Tensor,
        batch_size: int,
        seed: int,
        rank: int = 0,
        ranks: int = 1,
        per_device: bool = False,
        last_batch: LastBatch = "balanced",
        labels: Tensor | None = None,
    ) -> None:
        self.index = index
        self.labels = labels
        self.seed = seed
        self.rank = rank
        self.ranks = ranks
        self.per_device = per_device
        self.epoch = 0
        # the sequence that is cut: a process's part of the order, or the order, whose batches the processes share
        length, multiple = (-(-len(index) // ranks), 1) if per_device else (len(index), ranks)
        self.sizes = (
            balanced_sizes(length, batch_size, multiple) if last_batch == "balanced" else full_sizes(length, batch_size)
        )

    def set_epoch(self, epoch: int) -> None:
        """Move to an epoch; Lightning calls this before each one."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[Tensor]:
        generator = stream(self.seed, "shuffle", self.epoch)
        if self.labels is None:
            order = self.index[torch.randperm(len(self.index), generator=generator)]
        else:
            order = self.index[balanced_rows(self.labels, generator)]
        total = sum(self.sizes)
        if self.per_device:
            order = order[torch.arange(self.rank, total * self.ranks, self.ranks) % max(1, len(order))]
            yield from torch.split(order, self.sizes)
        else:
            for batch in torch.split(order[torch.arange(total) % max(1, len(order))], self.sizes):
                yield _share(batch, self.rank, self.ranks)

    def __len__(self) -> int:
        return len(self.sizes)


def balanced_sizes(n: int, batch_size: int, multiple: int = 1) -> list[int]:
    """Return sizes of ceil(n / batch_size) batches that differ by at most ``multiple``, none of one image.

    5,250 images in batches of 128 would leave a last batch of 2, after which BatchNorm's running statistics are useless
    for the test; 42 batches of 125 take as many steps.

    Args:
        n: number of images; one is paired with itself.
        batch_size: largest size. Only if it is 2, batches may have 3 images.
        multiple: number of processes that share each batch; it divides every size except the last.
    """
    count = max(1, min(-(-n // batch_size), n // max(2, multiple)))
    units, rest = divmod(n, multiple)
    each, larger = divmod(units, count)
    sizes = [multiple * (each + (place < larger)) for place in range(count)]
    sizes[-1] += rest
    return [2] if n == 1 else sizes


def full_sizes(n: int, batch_size: int) -> list[int]:
    """Return sizes of full batches and one for the rest; a rest of one image joins the batch before it.

    Args:
        n: number of images; one is paired with itself.
        batch_size: images per batch.
    """
    full, rest = divmod(max(n, 2) if n else 0, batch_size)
    if rest == 1 and full:
        return [batch_size] * (full - 1) + [batch_size + 1]
    return [batch_size] * full + [rest] * bool(rest or not full)


def _share(batch: Tensor, rank: int, ranks: int) -> Tensor:
    """The part of a batch for one of several processes: at least two images, as many as for the others."""
    if ranks == 1:
        return batch
    size = max(2, -(-len(batch) // ranks))
    return batch[torch.arange(rank * size, (rank + 1) * size) % len(batch)]
