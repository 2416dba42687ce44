"""How a backbone was built, as plain values in a checkpoint, so that the checkpoint alone rebuilds the model.

A checkpoint may be a stranger's. Nothing is imported for it but modules of this package: a class of another package is
found only if the caller has imported it, as Lightning does for its own classes.
"""

import inspect
import sys
from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from msal_lightning.errors import ConfigError
from msal_lightning.models.backbones import Backbone

KEY = "hyper_parameters"
"""Key of Lightning's checkpoints, whose values are the arguments of the constructor."""
_OURS = "msal_lightning"
_NOT_NEEDED = "weights"  # a file of initial weights, which the checkpoint replaces


def describe(backbone: Any) -> dict[str, Any] | None:
    """Return class and options of a backbone as plain values; None if it has others, or is no :class:`Backbone`.

    The number of colour channels, which is the first argument of every backbone, is left out.
    """
    if not isinstance(backbone, Backbone):
        return None
    kind, (args, named) = type(backbone), backbone.built_with
    try:
        given = inspect.signature(kind.__init__).bind(backbone, *args, **named)
    except TypeError:  # the class has changed its arguments in __new__
        return None
    positional, options = given.args, dict(given.kwargs)
    names = [*inspect.signature(kind.__init__).parameters]
    if len(positional) > len(names):  # of *args
        return None
    options |= dict(zip(names[2:], positional[2:], strict=False))
    options.pop(_NOT_NEEDED, None)
    if not all(map(_is_plain, options.values())):
        return None
    return {"class_path": f"{kind.__module__}.{kind.__qualname__}", "init_args": _plain(options)}


def read_options(file: Any, weights_only: bool = True) -> dict[str, Any] | None:
    """Return the arguments of the constructor that a checkpoint holds, with a function that makes the backbone.

    Args:
        file: path of the checkpoint, or an open file.
        weights_only: refuse code in the file.

    Raises:
        ConfigError: its backbone is of a class that is not imported, or is none.
    """
    content = torch.load(file, map_location="cpu", weights_only=weights_only)
    if not isinstance(file, str | Path):
        file.seek(0)
    options = content.get(KEY) if isinstance(content, Mapping) else None
    if not isinstance(options, Mapping) or not isinstance(options.get("backbone"), Mapping):
        return None
    return {**options, "backbone": _maker(options["backbone"], file)}


def _maker(described: Mapping[str, Any], file: Any) -> Callable[[int], Backbone]:
    path, options = str(described.get("class_path")), dict(described.get("init_args") or {})
    module, _, name = path.rpartition(".")
    if module.split(".")[0] == _OURS:
        try:
            import_module(module)
        except ImportError:
            module = ""
    found = getattr(sys.modules.get(module), name, None)
    if not (inspect.isclass(found) and issubclass(found, Backbone)):
        raise ConfigError(
            f"expected the backbone of '{file}', {path}, to be a class that is already imported: import it first, or "
            "give it as backbone=..."
        )
    return partial(found, **options)


def _is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_plain(part) for key, part in value.items())
    return value is None or type(value) in (str, int, float, bool) or isinstance(value, Path)


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    return str(value) if isinstance(value, Path) else value
