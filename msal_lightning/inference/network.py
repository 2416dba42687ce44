"""The network as it is used: from pixels or features to probabilities, in one module that can be exported."""

import torch
from torch import Tensor, nn

from msal_lightning.embed.device_runner import DeviceRunner
from msal_lightning.models.classifier import MSALClassifier

_WHITE = 255


class ReadyNetwork(nn.Module):
    """Scales its input as the evaluation of a run does, then computes probabilities and embeddings, in evaluation mode.

    Args:
        model: a trained model, which this module takes over.
        mean: mean of each channel from 0 to 1, or of each feature.
        std: standard deviation of each channel or feature.
        pixels: whether the input is images instead of features.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, model: MSALClassifier, mean: tuple[float, ...], std: tuple[float, ...], pixels: bool) -> None:
        super().__init__()
        self.pixels = pixels
        largest = _WHITE if pixels else 1
        self.register_buffer("mean", torch.tensor(mean).reshape(-1, 1, 1).clone() * largest)
        self.register_buffer("std", torch.tensor(std).reshape(-1, 1, 1).clone() * largest)
        self.backbone, self.head = model.backbone, model.head
        self.eval().requires_grad_(False)

    @property
    def num_channels(self) -> int:
        """Channels of an image, or D of features."""
        return len(self.mean)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Compute outputs.

        Args:
            images: (N, C, H, W) uint8; of a run on features (N, D) of any float type.

        Returns:
            Probabilities (N, classes) and embeddings (N, D), float32.
        """
        values = images if self.pixels else images.float()[:, :, None, None]
        scaled = (values - self.mean) / self.std
        embeddings = self.backbone(scaled.contiguous(memory_format=torch.channels_last)).float()
        return self.head(embeddings).softmax(dim=1), embeddings


class Scorer(DeviceRunner):
    """A network on a device.

    Args:
        network: the network.
        device: where it runs.
        embeddings: give embeddings, too.
        bfloat16: compute the backbone in bfloat16.
    """

    def __init__(
        self, network: ReadyNetwork, device: torch.device, embeddings: bool = False, bfloat16: bool = False
    ) -> None:
        super().__init__(device)
        self._network, self._embeddings, self._bfloat16 = network.to(device), embeddings, bfloat16

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Tensor:
        """Compute probabilities and embeddings side by side.

        Args:
            images: input of the network, anywhere.

        Returns:
            (B, classes), or (B, classes + D) with embeddings, float32 on the device.
        """
        images = images.to(self.device, non_blocking=True)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._bfloat16):
            probabilities, embeddings = self._network(images)
        return torch.cat([probabilities, embeddings], dim=1) if self._embeddings else probabilities
