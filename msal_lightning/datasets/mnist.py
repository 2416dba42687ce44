"""MNIST and the datasets that come in its file format."""

import gzip
import os
from collections.abc import Iterator
from pathlib import Path

import torch
import torchvision
from torch import Tensor

from msal_lightning.data.base import ActiveDataModule
from msal_lightning.data.batches.loading import ImageSet
from msal_lightning.data.images.download import fetch
from msal_lightning.errors import DataError
from msal_lightning.io.archives import read_idx


class MNIST(ActiveDataModule):
    """Handwritten digits, 28×28 grey: 10 classes, 60,000 to train on, 10,000 to test."""

    mean = (0.1307,)
    std = (0.3081,)
    class_names = tuple("0123456789")
    files = (
        "MNIST/raw/train-images-idx3-ubyte",
        "MNIST/raw/train-images-idx3-ubyte.gz",
        "train-images-idx3-ubyte",
        "train-images-idx3-ubyte.gz",
    )
    source = "http://yann.lecun.com/exdb/mnist, by torchvision's mirrors"
    _torchvision: type[torchvision.datasets.MNIST] = torchvision.datasets.MNIST

    def load(self) -> tuple[ImageSet, ImageSet]:
        """Read the four IDX files, packed or not, from the root or torchvision's folder below it."""
        found = self._find()
        if found is None:
            expected = f"{', '.join(_FILES)} (with or without .gz, there or in {self.name}/raw)"
            fetch(self, lambda: self._torchvision(self.root, download=True), expected)
            found = self._find()
        if found is None:
            raise DataError(f"{self.name} was downloaded, but its files are not below data.root '{self.root}'")
        train_images, train_labels, test_images, test_labels = map(_read_idx, found)
        learn = _pair(train_images, train_labels, found[0])
        return learn, _pair(test_images, test_labels, found[2])

    def _find(self) -> list[Path] | None:
        root = Path(self.root)
        for folder in (root / self.name / "raw", root / self.name, root):
            found = [next(_present(folder / name), None) for name in _FILES]
            if all(found):
                return [path for path in found if path is not None]
        return None


class FashionMNIST(MNIST):
    """Zalando's clothing articles, 28×28 grey, in MNIST's format and size: the stand-in for the MNIST protocol."""

    mean = (0.2860,)
    std = (0.3530,)
    class_names = (
        "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"
    )  # fmt: skip
    files = (
        "FashionMNIST/raw/train-images-idx3-ubyte",
        "FashionMNIST/raw/train-images-idx3-ubyte.gz",
        "train-images-idx3-ubyte",
        "train-images-idx3-ubyte.gz",
    )
    source = "https://github.com/zalandoresearch/fashion-mnist"
    _torchvision = torchvision.datasets.FashionMNIST


_FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def _present(path: Path) -> Iterator[Path]:
    return (p for p in (path, path.with_name(f"{path.name}.gz")) if os.path.isfile(p))  # noqa: PTH113 - Path.is_file raises without permission


def _read_idx(path: Path) -> Tensor:
    try:
        array = read_idx(path)
    except (OSError, EOFError, ValueError, gzip.zlib.error) as error:  # type: ignore[attr-defined]
        raise DataError(f"cannot read '{path}' as an IDX file ({error}): delete it and fetch it again") from None
    return torch.from_numpy(array.copy())


def _pair(image: Tensor, label: Tensor, path: Path) -> ImageSet:
    if image.ndim != 3 or label.ndim != 1 or len(image) != len(label):
        raise DataError(
            f"expected '{path}' and its label file to hold images (N, H, W) and labels (N,), got "
            f"{tuple(image.shape)} and {tuple(label.shape)}: delete both and fetch them again"
        )
    return ImageSet(image[:, None], label.long())
