"""The images of a run, their split and their reading; each name is imported on first use.

The datasets are in :mod:`msal_lightning.datasets`; their classes can still be imported from here.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from msal_lightning.data.augmentation import Augmentation, CropFlip, DrawnAugmentation, RotateFlip
    from msal_lightning.data.base import ActiveDataModule
    from msal_lightning.data.batches.loading import Batch, ImageSet
    from msal_lightning.data.labels import HiddenLabels

_HOME = {
    "ActiveDataModule": "base",
    "Augmentation": "augmentation",
    "Batch": "batches.loading",
    "CropFlip": "augmentation",
    "DrawnAugmentation": "augmentation",
    "ImageSet": "batches.loading",
    "RotateFlip": "augmentation",
    "HiddenLabels": "labels",
}
_DATASETS = ("CIFAR10", "CIFAR100", "MNIST", "SVHN", "Digits", "FashionMNIST", "ImageFolder", "TinyImageNet")

__all__ = [
    "ActiveDataModule", "Augmentation", "Batch", "CropFlip", "DrawnAugmentation", "HiddenLabels", "ImageSet",
    "RotateFlip",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    name = {"Images": "ImageSet"}.get(name, name)  # the former name, in datasets of your own
    if name in _DATASETS:
        return getattr(import_module("msal_lightning.datasets"), name)
    if name not in _HOME:
        raise AttributeError(f"module 'msal_lightning.data' has no attribute '{name}'")
    return getattr(import_module(f"msal_lightning.data.{_HOME[name]}"), name)
