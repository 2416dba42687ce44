"""Dotted names of classes whose modules have moved; in a configuration both names mean the same class.

Every reader of a configuration calls :func:`present` before it compares or looks up anything. Digests use
:func:`former` names, so digests in older files stay valid.
"""

from collections.abc import Mapping
from typing import Any

_DATASETS = {
    "cifar": ("CIFAR10", "CIFAR100"),
    "digits": ("Digits",),
    "image_folder": ("ImageFolder",),
    "mnist": ("MNIST", "FashionMNIST"),
    "svhn": ("SVHN",),
    "tiny_imagenet": ("TinyImageNet",),
}
_MODULES = {  # former: present
    "msal_lightning.backbones": "msal_lightning.models.backbones",
    "msal_lightning.data.augment": "msal_lightning.data.augmentation",
    "msal_lightning.module": "msal_lightning.models.classifier",
    "msal_lightning.oracles.files": "msal_lightning.oracles.csv_files.oracle",
    "msal_lightning.oracles.label_studio": "msal_lightning.oracles.label_studio.oracle",
    **{f"msal_lightning.data.{module}": f"msal_lightning.datasets.{module}" for module in _DATASETS},
}
_FORMER_MODULES = {present: former for former, present in _MODULES.items()}
_CLASSES = {  # exported by a package
    f"msal_lightning.data.{name}": f"msal_lightning.datasets.{name}" for names in _DATASETS.values() for name in names
}
_FORMER_CLASSES = {present: former for former, present in _CLASSES.items()}
_SHORT = {f"msal_lightning.{name}": f"msal_lightning.models.backbones.{name}" for name in ("ResNet18", "SmallCNN")}


def present(config: Any) -> Any:
    """Return a configuration, or a part of it, with present names.

    Args:
        config: plain values, nested or flattened.
    """
    return _renamed(config, {**_CLASSES, **_SHORT}, _MODULES)


def former(config: Any) -> Any:
    """Return a configuration, or a part of it, with the names from before modules moved.

    Args:
        config: plain values, nested or flattened, with present names.
    """
    return _renamed(config, _FORMER_CLASSES, _FORMER_MODULES)


def _renamed(value: Any, classes: Mapping[str, str], modules: Mapping[str, str]) -> Any:
    if isinstance(value, Mapping):
        return {key: _renamed(part, classes, modules) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_renamed(part, classes, modules) for part in value]
    if not isinstance(value, str) or not value.startswith("msal_lightning."):
        return value
    module, dot, name = value.rpartition(".")
    return classes.get(value) or f"{modules.get(module, module)}{dot}{name}"
