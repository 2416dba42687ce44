"""Datasets, one small file each; ``python -m msal_lightning datasets`` lists them."""

from msal_lightning.data.augment import Augmentation, CropFlip, RotateFlip
from msal_lightning.data.base import ActiveDataModule
from msal_lightning.data.cifar import CIFAR10, CIFAR100
from msal_lightning.data.digits import Digits
from msal_lightning.data.image_folder import ImageFolder
from msal_lightning.data.mnist import MNIST, FashionMNIST
from msal_lightning.data.svhn import SVHN
from msal_lightning.data.tiny_imagenet import TinyImageNet
from msal_lightning.data.truth import Truth
from msal_lightning.data.views import Batch, Images

__all__ = [
    "CIFAR10",
    "CIFAR100",
    "MNIST",
    "SVHN",
    "ActiveDataModule",
    "Augmentation",
    "Batch",
    "CropFlip",
    "Digits",
    "FashionMNIST",
    "ImageFolder",
    "Images",
    "RotateFlip",
    "TinyImageNet",
    "Truth",
]
