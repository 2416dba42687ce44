"""One model on one device, from decoded images to rows of features."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from msal_lightning.data.preprocessing import Preprocessing
from msal_lightning.embed.reading import Batch
from msal_lightning.errors import ConfigError

BFLOAT16 = "bf16-mixed"


class Features(NamedTuple):
    """The features of a batch.

    Attributes:
        batch: the images.
        rows: (B, D) in memory of the host.
        wait: returns when the rows are there.
    """

    batch: Batch
    rows: Tensor
    wait: Callable[[], None]


class Embedder:
    """Computes features in evaluation mode, without gradients.

    Args:
        model: maps (N, 3, size, size) to (N, D).
        name: the model in messages.
        preprocessing: size of its images, and the scale of their values.
        device: where the model runs.
        precision: 32-true or bf16-mixed.
        dtype: type of the features.

    Attributes:
        dimension: D.

    Raises:
        ConfigError: the model fails on such images, or gives no vector for each.
    """

    def __init__(
        self,
        model: nn.Module,
        name: str,
        preprocessing: Preprocessing,
        device: torch.device,
        precision: str,
        dtype: torch.dtype,
    ) -> None:
        self.device, self.size = device, preprocessing.size
        self._model = model.eval().requires_grad_(False).to(device)
        self._name, self._bfloat16, self._dtype = name, precision == BFLOAT16, dtype
        mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (preprocessing.mean, preprocessing.std))
        self._mean, self._std = mean.to(device), std.to(device)
        self.dimension = self._try()

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Tensor:
        """Compute features on the device.

        Args:
            images: (B, 3, size, size) uint8, anywhere.

        Returns:
            (B, D) of the type of the features.
        """
        features: Tensor = self._forward(images)
        return features.to(self._dtype)

    def _forward(self, images: Tensor) -> Any:
        scaled = images.to(self.device, non_blocking=True).float().div_(255).sub_(self._mean).div_(self._std)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._bfloat16):
            return self._model(scaled)

    def run(self, batches: Iterable[Batch]) -> Iterator[tuple[Batch, Tensor]]:
        """Yield the features of each batch; a GPU has the next batch by then.

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

    @torch.inference_mode()
    def _try(self) -> int:
        """Return D after a step with two black images."""
        try:
            found = self._forward(torch.zeros((2, 3, self.size, self.size), dtype=torch.uint8))
        except (RuntimeError, ValueError, TypeError, AssertionError, IndexError, KeyError, AttributeError) as error:
            reason = f"{type(error).__name__}: {' '.join(str(error).split()):.160}"
            raise ConfigError(
                f"--model {self._name} fails on images of {self.size}×{self.size} pixels in colour ({reason}): set "
                "--size to what it expects, or choose another model"
            ) from error
        if not isinstance(found, Tensor) or found.ndim != 2 or len(found) != 2 or not found.shape[1]:
            shape = tuple(found.shape) if isinstance(found, Tensor) else f"a {type(found).__name__}"
            raise ConfigError(
                f"expected --model {self._name} to give one vector for each image, (2, D) for two, got {shape}: choose "
                "a model that ends in pooling, or write a Backbone that does"
            )
        return int(found.shape[1])
