"""Training batches on the device that holds the images."""

from collections.abc import Callable

import torch
from torch import Generator, Tensor

from msal_lightning.data.augmentation import DrawnAugmentation
from msal_lightning.data.batches.loading import Batch


class ResidentBatches:
    """Makes training batches in two parts: random numbers on the host, all other work on the device.

    Args:
        images: (N, C, H, W) uint8 on the device.
        labels: (N,) of an integer type.
        augmentation: of the training images; None for none.
        stream: gives the CPU stream of the augmentation for the epoch in progress.
        scale: scales and normalizes a batch of uint8 images.
    """

    def __init__(
        self,
        images: Tensor,
        labels: Tensor,
        augmentation: DrawnAugmentation | None,
        stream: Callable[[], Generator],
        scale: Callable[[Batch], Batch],
    ) -> None:
        self._images = images
        self._labels = labels.to(images.device, torch.int64)
        self._augmentation = augmentation
        self._stream = stream
        self._scale = scale

    def inputs(self, index: Tensor) -> tuple[Tensor, ...]:
        """Return the values on the host that make a batch: its indices, and the draws of its augmentation.

        Args:
            index: (B,) int64.

        Returns:
            Tensors whose types and shapes depend on B alone.
        """
        if self._augmentation is None:
            return (index,)
        return index, *self._augmentation.draw(len(index), self._stream())

    def __call__(self, inputs: tuple[Tensor, ...]) -> Batch:
        """Make a batch from :meth:`inputs` that have been copied to the device; a CUDA graph can repeat this."""
        index, *draw = inputs
        image = self._images[index]
        if self._augmentation is not None:
            image = self._augmentation.apply(image, tuple(draw))
        return self._scale(Batch(index, image, self._labels[index]))
