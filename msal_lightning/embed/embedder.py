"""One model on one device, from decoded images to rows of features."""

from typing import Any

import torch
from torch import Tensor, nn

from msal_lightning.data.images.preprocessing import Preprocessing
from msal_lightning.embed.device_runner import DeviceRunner
from msal_lightning.errors import ConfigError

BFLOAT16 = "bf16-mixed"


class Embedder(DeviceRunner):
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
        super().__init__(device)
        self.size = preprocessing.size
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
