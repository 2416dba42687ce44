"""A loader that gives all batches of an epoch at once, as indices."""

from collections.abc import Iterator
from typing import Protocol

from torch import Tensor
from torch.utils.data import Dataset, Sampler


class Batches(Protocol):
    """A sampler of batches."""

    def __iter__(self) -> Iterator[Tensor]:
        """The batches of this epoch, (B,) int64 each."""

    def __len__(self) -> int:
        """Number of batches of an epoch."""

    def set_epoch(self, epoch: int) -> None:
        """Move to an epoch."""


class EpochIndices:
    """All batches of an epoch, as indices. Lightning passes it to the model as it is, because it is no collection.

    Args:
        batches: (B,) int64 each.
    """

    def __init__(self, batches: list[Tensor]) -> None:
        self.batches = batches


class WholeEpochs(Sampler[EpochIndices]):
    """Gives all batches of an epoch at once.

    Args:
        batches: the batches, see :class:`~msal_lightning.data.batches.epoch_batches.EpochBatches`.
    """

    def __init__(self, batches: Batches) -> None:
        self.batches = batches

    @property
    def num_steps(self) -> int:
        """Number of batches of an epoch."""
        return len(self.batches)

    def set_epoch(self, epoch: int) -> None:
        """Move to an epoch; Lightning calls this before each one."""
        self.batches.set_epoch(epoch)

    def __iter__(self) -> Iterator[EpochIndices]:
        yield EpochIndices(list(self.batches))

    def __len__(self) -> int:
        return 1


class Unread(Dataset[EpochIndices]):
    """Leaves the reading of images to the model's steps: its items are the indices themselves."""

    def __getitem__(self, epoch: EpochIndices) -> EpochIndices:
        return epoch
