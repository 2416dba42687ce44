"""Finds the classes that a stranger's configuration may name: ours, torch.optim's, and Lightning's callbacks."""

import inspect
import re
import sys
import typing
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from lightning.pytorch import Callback
from lightning.pytorch.loggers import Logger
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from msal_lightning.data import ActiveDataModule, Augmentation
from msal_lightning.models.backbones import Backbone
from msal_lightning.stopping import StoppingCriterion
from msal_lightning.strategies import Strategy

# Start of a dotted path, both as written and as defined, to the base classes that the class may have
_OWNERS: dict[str, tuple[type, ...]] = {
    "msal_lightning.": (Strategy, ActiveDataModule, Backbone, Augmentation, Callback, StoppingCriterion),
    "torch.optim.": (Optimizer, LRScheduler),
    "lightning.pytorch.callbacks.": (Callback,),
    "lightning.pytorch.loggers.": (Logger,),
}
_MADE_BY_FUNCTIONS = (Optimizer, LRScheduler, Backbone)
_HOMES = (
    "msal_lightning.strategies",
    "msal_lightning.stopping",
    "msal_lightning.datasets",
    "msal_lightning.data.augmentation",
    "msal_lightning.models.backbones",
    "msal_lightning.models.timm_backbone",
    "torch.optim",
    "torch.optim.lr_scheduler",
    "lightning.pytorch.callbacks",
)
_DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+", re.ASCII)
_PLAIN = (str, int, float, bool, NoneType, Path, bytes)


def is_dotted(text: str) -> bool:
    """Whether a text could be a dotted import path."""
    return _DOTTED.fullmatch(text) is not None


def find_owned(path: str) -> Any | None:
    """Return the class or function behind a dotted path if it is ours, an optimizer, a schedule, or Lightning's.

    The defining module counts, not the path: ``torch.optim.sgd.torch.os.system`` does not belong to torch.optim. Only
    modules of the owners are imported.

    Args:
        path: dotted path.

    Returns:
        The object; None if it belongs to another package or is of another kind.
    """
    parts = path.split(".")
    if not is_dotted(path) or any(part.startswith("__") for part in parts) or not path.startswith(tuple(_OWNERS)):
        return None
    found = _walk(parts)
    if not (inspect.isclass(found) or inspect.isfunction(found)):
        return None
    home = sys.modules.get(found.__module__)
    if _walk_from(home, found.__qualname__.split(".")) is not found:  # it claims another origin
        return None
    owner = next((owner for owner in _OWNERS if f"{found.__module__}.".startswith(owner)), None)
    if owner is None:
        return None
    bases = _OWNERS[owner] if inspect.isclass(found) else _MADE_BY_FUNCTIONS
    return found if makes(found, bases) else None


def find_by_name(name: str) -> str | None:
    """Return the dotted path of a class that is named without it; None for an unknown name."""
    paths = (f"{home}.{name}" for home in _HOMES)
    return next((path for path in paths if find_owned(path) is not None), None)


def makes(found: Any, bases: type | tuple[type, ...]) -> bool:
    """Whether a call makes an object of these classes: by a subclass, or a function with such a return annotation."""
    made = found
    if not inspect.isclass(found):
        try:
            made = typing.get_type_hints(found).get("return")
        except (NameError, TypeError, AttributeError):
            return False
    return inspect.isclass(made) and issubclass(made, bases)


def plain_options(found: Callable[..., Any]) -> frozenset[str]:
    """Return the parameters that take text, numbers or lists of these: their values need no import."""
    maker = found.__init__ if inspect.isclass(found) else found
    try:
        hints: Mapping[str, Any] = typing.get_type_hints(maker)
    except (NameError, TypeError, AttributeError):
        return frozenset()
    return frozenset(name for name, hint in hints.items() if name != "return" and _is_plain(hint))


def _is_plain(hint: Any) -> bool:
    origin = get_origin(hint)
    if origin is Literal:
        return True
    if origin in (Union, UnionType, list, tuple, set) or getattr(origin, "__module__", "") == "collections.abc":
        parts = [part for part in get_args(hint) if part is not Ellipsis]
        return "Callable" not in str(origin) and all(_is_plain(part) for part in parts)
    return hint in _PLAIN


def _walk(parts: list[str]) -> Any | None:
    for end in range(len(parts) - 1, 0, -1):
        try:
            module = import_module(".".join(parts[:end]))
        except ModuleNotFoundError:
            continue
        except Exception:  # a module that needs a missing library
            return None
        return _walk_from(module, parts[end:])
    return None


def _walk_from(found: Any, names: list[str]) -> Any | None:
    for name in names:
        found = inspect.getattr_static(found, name, None)
    return found
