"""Which classes a stranger's configuration may name: those of this package, torch.optim, Lightning's callbacks."""

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
from msal_lightning.strategies import Strategy

# Beginning of the path, of the name that is written and of the one that is meant, to the bases that it may have
_OWNERS: dict[str, tuple[type, ...]] = {
    "msal_lightning.": (Strategy, ActiveDataModule, Backbone, Augmentation, Callback),
    "torch.optim.": (Optimizer, LRScheduler),
    "lightning.pytorch.callbacks.": (Callback,),
    "lightning.pytorch.loggers.": (Logger,),
}
_MADE_BY_FUNCTIONS = (Optimizer, LRScheduler, Backbone)
_HOMES = (
    "msal_lightning.strategies",
    "msal_lightning.datasets",
    "msal_lightning.data.augmentation",
    "msal_lightning.models.backbones",
    "torch.optim",
    "torch.optim.lr_scheduler",
    "lightning.pytorch.callbacks",
)
_DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+", re.ASCII)
_PLAIN = (str, int, float, bool, NoneType, Path, bytes)


def is_dotted(text: str) -> bool:
    """Whether a text could be the path of something to import."""
    return _DOTTED.fullmatch(text) is not None


def find_owned(path: str) -> Any | None:
    """The class or function behind a dotted path, if it is ours, an optimizer, a schedule, or Lightning's.

    Where it is defined counts, not where it is found: ``torch.optim.sgd.torch.os.system`` is none of torch.optim's.
    Nothing but modules of the owners is imported to find out.

    Args:
        path: dotted.

    Returns:
        The object; None where it is another's, or another kind of thing.
    """
    parts = path.split(".")
    if not is_dotted(path) or any(part.startswith("__") for part in parts) or not path.startswith(tuple(_OWNERS)):
        return None
    found = _walk(parts)
    if not (inspect.isclass(found) or inspect.isfunction(found)):
        return None
    home = sys.modules.get(found.__module__)
    if _walk_from(home, found.__qualname__.split(".")) is not found:  # it says that it is from elsewhere
        return None
    owner = next((owner for owner in _OWNERS if f"{found.__module__}.".startswith(owner)), None)
    if owner is None:
        return None
    bases = _OWNERS[owner] if inspect.isclass(found) else _MADE_BY_FUNCTIONS
    return found if makes(found, bases) else None


def find_by_name(name: str) -> str | None:
    """The dotted path of a class that is named without one."""
    paths = (f"{home}.{name}" for home in _HOMES)
    return next((path for path in paths if find_owned(path) is not None), None)


def makes(found: Any, bases: type | tuple[type, ...]) -> bool:
    """Whether calling it gives an object of one of the classes: it is a subclass, or a function that says so."""
    made = found
    if not inspect.isclass(found):
        try:
            made = typing.get_type_hints(found).get("return")
        except (NameError, TypeError, AttributeError):
            return False
    return inspect.isclass(made) and issubclass(made, bases)


def plain_options(found: Callable[..., Any]) -> frozenset[str]:
    """Parameters that take text, numbers or lists of them, so that nothing is imported for their values."""
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
        except Exception:  # a module that needs a library that is not there
            return None
        return _walk_from(module, parts[end:])
    return None


def _walk_from(found: Any, names: list[str]) -> Any | None:
    for name in names:
        found = inspect.getattr_static(found, name, None)
    return found
