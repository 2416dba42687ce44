"""CIFAR-10 and CIFAR-100."""

from pathlib import Path

import torch
import torchvision

from msal_lightning.data.base import ActiveDataModule
from msal_lightning.data.batches.loading import ImageSet
from msal_lightning.data.images.download import fetch


class CIFAR10(ActiveDataModule):
    """Tiny photographs, 32×32 colour: 10 classes, 50,000 to train on, 10,000 to test."""

    mean = (0.4914, 0.4822, 0.4465)
    std = (0.2470, 0.2435, 0.2616)
    class_names: tuple[str, ...] = (
        "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"
    )  # fmt: skip
    files: tuple[str, ...] = ("cifar-10-batches-py",)
    source = "https://www.cs.toronto.edu/~kriz/cifar.html"
    _torchvision: type[torchvision.datasets.CIFAR10] = torchvision.datasets.CIFAR10

    def load(self) -> tuple[ImageSet, ImageSet]:
        """Read torchvision's files; the names of the classes come with them."""
        dataset = self._torchvision
        try:
            train, test = dataset(self.root, train=True), dataset(self.root, train=False)
        except RuntimeError:  # not there, or damaged
            expected = f"the folder {self.files[0]} ({dataset.filename} unpacked, from {self.source})"
            found = "files with another checksum" if (Path(self.root) / self.files[0]).exists() else "none"
            fetch(self, lambda: dataset(self.root, download=True), expected, found=found)
            train, test = dataset(self.root, train=True), dataset(self.root, train=False)
        self.class_names = tuple(train.classes)
        return _images(train), _images(test)


class CIFAR100(CIFAR10):
    """Tiny photographs, 32×32 colour: 100 classes, 50,000 to train on, 10,000 to test."""

    mean = (0.5071, 0.4867, 0.4408)
    std = (0.2675, 0.2565, 0.2761)
    class_names = (
        "apple", "aquarium_fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle", "bottle", "bowl",
        "boy", "bridge", "bus", "butterfly", "camel", "can", "castle", "caterpillar", "cattle", "chair",
        "chimpanzee", "clock", "cloud", "cockroach", "couch", "crab", "crocodile", "cup", "dinosaur", "dolphin",
        "elephant", "flatfish", "forest", "fox", "girl", "hamster", "house", "kangaroo", "keyboard", "lamp",
        "lawn_mower", "leopard", "lion", "lizard", "lobster", "man", "maple_tree", "motorcycle", "mountain",
        "mouse", "mushroom", "oak_tree", "orange", "orchid", "otter", "palm_tree", "pear", "pickup_truck",
        "pine_tree", "plain", "plate", "poppy", "porcupine", "possum", "rabbit", "raccoon", "ray", "road", "rocket",
        "rose", "sea", "seal", "shark", "shrew", "skunk", "skyscraper", "snail", "snake", "spider", "squirrel",
        "streetcar", "sunflower", "sweet_pepper", "table", "tank", "telephone", "television", "tiger", "tractor",
        "train", "trout", "tulip", "turtle", "wardrobe", "whale", "willow_tree", "wolf", "woman", "worm"
    )  # fmt: skip
    files = ("cifar-100-python",)
    _torchvision = torchvision.datasets.CIFAR100


def _images(dataset: torchvision.datasets.CIFAR10) -> ImageSet:
    return ImageSet(
        torch.from_numpy(dataset.data).permute(0, 3, 1, 2).contiguous(),
        torch.tensor(dataset.targets, dtype=torch.int64),
    )
