"""Batches through a model on one device; a GPU computes while the host reads the next batch."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from msal_lightning.embed.reading import Batch
from msal_lightning.errors import ConfigError


class Features(NamedTuple):
    """The rows of a batch.

    Attributes:
        batch: the images.
        rows: (B, D) in memory of the host.
        wait: returns when the rows are there.
    """

    batch: Batch
    rows: Tensor
    wait: Callable[[], None]


class DeviceRunner(ABC):
    """A model on a device.

    Args:
        device: where the model runs.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device

    @abstractmethod
    def __call__(self, images: Tensor) -> Tensor:
        """Compute rows on the device: (B, ...) anywhere to (B, D)."""

    def run(self, batches: Iterable[Batch]) -> Iterator[tuple[Batch, Tensor]]:
        """Yield the rows of each batch; a GPU has the next batch by then.

        Raises:
            ConfigError: the device has too little memory.
        """
        before: Features | None = None
        for batch in batches:
            now = self._start(batch)
            if before is not None:
                before.wait()
                yield before.batch, before.rows
            before = now
        if before is not None:
            before.wait()
            yield before.batch, before.rows

    def _start(self, batch: Batch) -> Features:
        try:
            features = self(batch.images)
        except torch.OutOfMemoryError as error:
            raise ConfigError(
                f"the device ran out of memory with {len(batch.images)} images a step "
                f"({str(error).partition('. ')[0]}): set --batch_size to a lower number, with another --out"
            ) from None
        if self.device.type != "cuda":
            host = features.cpu()
            return Features(batch, host, lambda: None)
        host = torch.empty(features.shape, dtype=features.dtype, pin_memory=True)
        host.copy_(features, non_blocking=True)
        copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
        copied.record()
        return Features(batch, host, copied.synchronize)
