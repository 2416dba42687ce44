"""Random images of the sizes that the paper's datasets have, and its model for them."""

from collections.abc import Callable
from typing import Any

import torch
from lightning.pytorch import Trainer

from msal_lightning import ActiveDataModule, MSALClassifier
from msal_lightning.data import ImageSet
from msal_lightning.models.backbones import ResNet18
from msal_lightning.training.precision import choose_precision

PRECISION = choose_precision("auto")[0]


class RandomImages(ActiveDataModule):
    """Noise: speed does not depend on what the images show.

    Args:
        size: pixels of a side.
        channels: 1 or 3.
        learn: training images.
        test: images of the test set.
        **options: of every dataset.
    """

    class_names = tuple("0123456789")
    mean, std = (0.5,), (0.3,)

    def __init__(self, size: int, channels: int, learn: int, test: int = 1_000, **options: Any) -> None:
        super().__init__(**options)
        self.mean, self.std = (0.5,) * channels, (0.3,) * channels
        self.size, self.channels, self.learn, self.test_size = size, channels, learn, test

    def load(self) -> tuple[ImageSet, ImageSet]:
        """The same images each time."""
        generator = torch.Generator().manual_seed(0)
        shape = (self.learn + self.test_size, self.channels, self.size, self.size)
        image = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
        label = torch.arange(len(image)) % 10
        return ImageSet(image[: self.learn], label[: self.learn]), ImageSet(image[self.learn :], label[self.learn :])


def model(stem: str, channels: int) -> MSALClassifier:
    """ResNet-18 on the prototype head with the optimizer of the shipped configurations."""
    return MSALClassifier(
        10,
        channels,
        lambda c: ResNet18(c, stem=stem),  # type: ignore[arg-type]
        optimizer=lambda parameters: torch.optim.Adam(parameters, lr=1e-3, fused=True),
    )


def trainer_factory(max_epochs: int) -> Callable[..., Trainer]:
    """What ``fit`` makes by default on this machine."""
    return lambda **settings: Trainer(max_epochs=max_epochs, precision=PRECISION, devices=1, **settings)


STEMS = (("conv7", 28, 1), ("conv3", 32, 3))
