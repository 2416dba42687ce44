"""The images of a run, their split, and how they are read; imported when they are first used.

The datasets are in :mod:`msal_lightning.datasets`; their classes can still be imported from here.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from msal_lightning.data.augmentation import Augmentation, CropFlip, RotateFlip
    from msal_lightning.data.base import ActiveDataModule
    from msal_lightning.data.labels import Truth
    from msal_lightning.data.loading import Batch, Images

_HOME = {
    "ActiveDataModule": "base",
    "Augmentation": "augmentation",
    "Batch": "loading",
    "CropFlip": "augmentation",
    "Images": "loading",
    "RotateFlip": "augmentation",
    "Truth": "labels",
}
_DATASETS = ("CIFAR10", "CIFAR100", "MNIST", "SVHN", "Digits", "FashionMNIST", "ImageFolder", "TinyImageNet")

__all__ = ["ActiveDataModule", "Augmentation", "Batch", "CropFlip", "Images", "RotateFlip", "Truth"]


def __getattr__(name: str) -> Any:
    if name in _DATASETS:
        return getattr(import_module("msal_lightning.datasets"), name)
    if name not in _HOME:
        raise AttributeError(f"module 'msal_lightning.data' has no attribute '{name}'")
    return getattr(import_module(f"msal_lightning.data.{_HOME[name]}"), name)
