"""Images that stay on the GPU for the whole run if they fit."""

import torch
from torch import Tensor

from msal_lightning.data.batches.loading import ImageStore
from msal_lightning.training.gpu_memory import free_bytes

_SHARE = 0.5  # of the memory that is free; the rest is for the model and its activations


class DeviceCache:
    """Copies each set of images to a GPU once; later fits, tests and pool passes read it there."""

    def __init__(self) -> None:
        self._copies: dict[int, tuple[ImageStore, Tensor]] = {}

    def place(self, image: ImageStore, device: torch.device) -> ImageStore:
        """The images on a device.

        Args:
            image: (N, C, H, W) uint8; only a tensor can be moved.
            device: device of the Trainer.

        Returns:
            A copy on the device; ``image`` itself on a CPU, for files that are decoded on access, and if the copy would
            take more than half of the free memory.
        """
        if device.type != "cuda" or not isinstance(image, Tensor):
            return image
        found = self._copies.get(id(image))
        if found is None or found[1].device != device:
            if image.nbytes > _SHARE * free_bytes(device):
                return image
            found = self._copies[id(image)] = image, image.to(device)  # the original too, so that its id stays its own
        return found[1]
