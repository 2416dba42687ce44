"""Street View House Numbers."""

import torch
import torchvision

from msal_lightning.data.base import ActiveDataModule
from msal_lightning.data.batches.loading import ImageSet
from msal_lightning.data.images.download import fetch


class SVHN(ActiveDataModule):
    """House numbers, 32×32 colour: 10 classes, 73,257 to train on, 26,032 to test."""

    mean = (0.4377, 0.4438, 0.4728)
    std = (0.1980, 0.2010, 0.1970)
    class_names = tuple("0123456789")
    files = ("train_32x32.mat",)
    source = "http://ufldl.stanford.edu/housenumbers"

    def load(self) -> tuple[ImageSet, ImageSet]:
        """Read the two .mat files, in which the digit 0 has the label 10."""
        dataset = torchvision.datasets.SVHN
        try:
            return _images(dataset(self.root, "train")), _images(dataset(self.root, "test"))
        except RuntimeError:  # not there, or damaged
            expected = f"train_32x32.mat and test_32x32.mat (from {self.source})"
            fetch(self, lambda: [dataset(self.root, part, download=True) for part in ("train", "test")], expected)
            return _images(dataset(self.root, "train")), _images(dataset(self.root, "test"))


def _images(dataset: torchvision.datasets.SVHN) -> ImageSet:
    return ImageSet(torch.from_numpy(dataset.data.copy()), torch.from_numpy(dataset.labels).long())
