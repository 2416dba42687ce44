"""Checks the callables that make a model, before they are called."""

from typing import Any

from jsonargparse import Namespace
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from msal_lightning.config.ownership import makes
from msal_lightning.errors import ConfigError
from msal_lightning.models.backbones import Backbone

_MADE = {
    "model.backbone": (Backbone, "a backbone: a class below Backbone"),
    "model.optimizer": (Optimizer, "an optimizer: a class below torch.optim.Optimizer"),
    "model.lr_scheduler": (LRScheduler, "a schedule: a class below torch.optim.lr_scheduler.LRScheduler"),
}


def check_callables(config: Namespace) -> None:
    """Refuse a callable that does not make an object of its key's kind; ``timeit.timeit`` makes no optimizer.

    Args:
        config: parsed configuration, not instantiated.

    Raises:
        ConfigError: a callable makes another object; the message names the key and the expected kind.
    """
    for key, (base, what) in _MADE.items():
        value = config.get(key)
        if value is None:
            continue
        name, found = _named(value)
        if found is not None and not makes(found, base):
            raise ConfigError(
                f"expected {key} to name {what}, or a function with that return annotation, got '{name}': correct it"
            )


def _named(value: Any) -> tuple[str, Any]:
    if not isinstance(value, Namespace):
        return f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', value)}", value
    path: str = value.class_path
    module, _, name = path.rpartition(".")
    from importlib import import_module

    return path, getattr(import_module(module), name, None)  # the parser has imported it by now
