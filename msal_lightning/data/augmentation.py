"""Training augmentation of a whole batch on its device, with separate random draws for each image."""

import math
from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Generator, Tensor


class Augmentation(ABC):
    """Changes training images only, never test images or the pool."""

    @abstractmethod
    def __call__(self, images: Tensor, generator: Generator) -> Tensor:
        """Augment a batch.

        Args:
            images: (N, C, H, W) of any type, on any device.
            generator: CPU stream of this epoch; the same one gives the same images on every device.

        Returns:
            (N, C, H, W) of the same type, on the same device.
        """


class DrawnAugmentation(Augmentation):
    """An augmentation in two parts, all random draws on the host and all other work on the device.

    A CUDA graph can contain the second part. Training with an augmentation that has no such parts uses no graphs.
    """

    def __call__(self, images: Tensor, generator: Generator) -> Tensor:  # noqa: D102
        draw = self.draw(len(images), generator)
        return self.apply(images, tuple(drawn.to(images.device, non_blocking=True) for drawn in draw))

    @abstractmethod
    def draw(self, n: int, generator: Generator) -> tuple[Tensor, ...]:
        """Draw all random numbers for a batch.

        Args:
            n: number of images.
            generator: CPU stream of this epoch.

        Returns:
            Tensors on the CPU, whose types and shapes depend on ``n`` alone.
        """

    @abstractmethod
    def apply(self, images: Tensor, draw: tuple[Tensor, ...]) -> Tensor:
        """Augment a batch with numbers that are drawn already.

        A CUDA graph repeats the operations of one call with other values. Therefore they must not depend on a value on
        the host, copy anything to the device or wait for it.

        Args:
            images: (N, C, H, W) of any type, on any device.
            draw: result of :meth:`draw`, on the same device.

        Returns:
            (N, C, H, W) of the same type, on the same device.
        """


class CropFlip(DrawnAugmentation):
    """Random crop out of the zero-padded image, then a horizontal flip: the usual CIFAR augmentation.

    Args:
        padding: pixels added on each side before the crop.
        flip: probability of a horizontal flip.

    Raises:
        ValueError: negative padding or a probability outside [0, 1].
    """

    def __init__(self, padding: int = 4, flip: float = 0.5) -> None:
        if padding < 0 or not 0 <= flip <= 1:
            raise ValueError(
                f"data.augmentation wants padding >= 0 and flip in [0, 1], got padding={padding} and flip={flip}"
            )
        self.padding = padding
        self.flip = flip

    def draw(self, n: int, generator: Generator) -> tuple[Tensor, ...]:  # noqa: D102
        shift = torch.randint(0, 2 * self.padding + 1, (2, n), generator=generator)
        return shift, torch.rand(n, generator=generator) < self.flip

    def apply(self, images: Tensor, draw: tuple[Tensor, ...]) -> Tensor:  # noqa: D102
        shift, flip = draw
        n, _, height, width = images.shape
        columns = torch.arange(width, device=images.device)
        columns = torch.where(flip[:, None], columns.flip(0), columns) + shift[1][:, None]  # (N, W)
        rows = torch.arange(height, device=images.device) + shift[0][:, None]  # (N, H)
        padded = F.pad(images, [self.padding] * 4)
        of = torch.arange(n, device=images.device)[:, None, None]
        # indexing the channels-last view gathers whole pixels
        return padded.permute(0, 2, 3, 1)[of, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


class RotateFlip(DrawnAugmentation):
    """Random rotation about the center, then a horizontal flip: the reference toolkit's for TinyImageNet.

    It uses nearest-neighbour interpolation; pixels from outside the image are black.

    Args:
        degrees: angles are uniform from minus this to this.
        flip: probability of a horizontal flip.

    Raises:
        ValueError: degrees outside [0, 180] or a probability outside [0, 1].
    """

    def __init__(self, degrees: float = 20.0, flip: float = 0.5) -> None:
        if not 0 <= degrees <= 180 or not 0 <= flip <= 1:
            raise ValueError(
                f"data.augmentation wants degrees in [0, 180] and flip in [0, 1], got degrees={degrees} and flip={flip}"
            )
        self.degrees = degrees
        self.flip = flip

    def draw(self, n: int, generator: Generator) -> tuple[Tensor, ...]:  # noqa: D102
        angle = (2 * torch.rand(n, generator=generator) - 1) * math.radians(self.degrees)
        return angle, torch.rand(n, generator=generator) < self.flip

    def apply(self, images: Tensor, draw: tuple[Tensor, ...]) -> Tensor:  # noqa: D102
        angle, flip = draw
        return rotate(images, angle, flip)


def rotate(images: Tensor, angle: Tensor, flip: Tensor) -> Tensor:
    """Rotate each image by its angle, then flip some: nearest neighbours, black outside.

    Args:
        images: (N, C, H, W).
        angle: (N,) in radians, counter-clockwise, on the same device.
        flip: (N,) bool, on the same device.

    Returns:
        (N, C, H, W) of the same type.
    """
    n, _, height, width = images.shape
    y = torch.arange(height, device=images.device) - (height - 1) / 2
    x = torch.arange(width, device=images.device) - (width - 1) / 2
    x = torch.where(flip[:, None], -x, x)[:, None, :]  # (N, 1, W): a flipped pixel comes from the other side
    cos, sin = angle.cos()[:, None, None], angle.sin()[:, None, None]
    column = (x * cos - y[:, None] * sin + (width - 1) / 2).round().long()  # (N, H, W): where each pixel comes from
    row = (x * sin + y[:, None] * cos + (height - 1) / 2).round().long()
    outside = (column < 0) | (column >= width) | (row < 0) | (row >= height)
    of = torch.arange(n, device=images.device)[:, None, None]
    # indexing the channels-last view gathers whole pixels
    pixels = images.permute(0, 2, 3, 1)[of, row.clamp(0, height - 1), column.clamp(0, width - 1)]
    return pixels.masked_fill(outside[..., None], 0).permute(0, 3, 1, 2)
