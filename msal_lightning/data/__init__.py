"""Datasets, one small file each; ``python -m msal_lightning datasets`` lists them."""

from msal_lightning.data.augment import Augmentation, CropFlip
from msal_lightning.data.base import ActiveDataModule
from msal_lightning.data.cifar import CIFAR100
from msal_lightning.data.digits import Digits
from msal_lightning.data.mnist import MNIST, FashionMNIST
from msal_lightning.data.oracle import Oracle, SimulatedOracle
from msal_lightning.data.views import Batch, Images

__all__ = [
    "CIFAR100",
    "MNIST",
    "ActiveDataModule",
    "Augmentation",
    "Batch",
    "CropFlip",
    "Digits",
    "FashionMNIST",
    "Images",
    "Oracle",
    "SimulatedOracle",
]
