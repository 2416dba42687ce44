"""CIFAR-100."""

import torch
import torchvision

from msal_lightning.data.base import ActiveDataModule
from msal_lightning.data.download import fetch
from msal_lightning.data.views import Images


class CIFAR100(ActiveDataModule):
    """Tiny photographs, 32×32 colour: 100 classes, 50,000 to learn from, 10,000 to test."""

    mean = (0.5071, 0.4867, 0.4408)
    std = (0.2675, 0.2565, 0.2761)
    class_names = tuple(str(c) for c in range(100))

    def load(self) -> tuple[Images, Images]:
        """Read torchvision's files; the names of the classes come with them."""
        dataset = torchvision.datasets.CIFAR100
        try:
            train, test = dataset(self.root, train=True), dataset(self.root, train=False)
        except RuntimeError:  # not there, or damaged
            expected = "the folder cifar-100-python (cifar-100-python.tar.gz unpacked)"
            fetch(self, lambda: dataset(self.root, download=True), expected)
            train, test = dataset(self.root, train=True), dataset(self.root, train=False)
        self.class_names = tuple(train.classes)
        return _images(train), _images(test)


def _images(dataset: torchvision.datasets.CIFAR10) -> Images:
    return Images(
        torch.from_numpy(dataset.data).permute(0, 3, 1, 2).contiguous(),
        torch.tensor(dataset.targets, dtype=torch.int64),
    )
