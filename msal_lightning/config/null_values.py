"""Refuses ``null`` for an option that needs a value.

jsonargparse accepts ``null`` in the options of a class, whose constructor then compares ``None`` with numbers.
"""

import importlib
import inspect
from collections.abc import Mapping
from enum import Enum
from typing import Any

from msal_lightning.errors import ConfigError


def check_nulls(config: Any, key: str = "") -> None:
    """Refuse ``null`` for an option that has another default and whose annotation excludes ``None``.

    Args:
        config: a namespace or mapping of a configuration, or a part of it.
        key: dotted key of the part.

    Raises:
        ConfigError: an option is ``null``; the message names its key and its default.
    """
    if isinstance(config, list):
        for one in config:
            check_nulls(one, key)
        return
    if isinstance(config, Enum):  # has attributes that lead back to it
        return
    values = config if isinstance(config, Mapping) else getattr(config, "__dict__", None)
    if values is None:
        return
    if isinstance(values.get("class_path"), str):
        _check_options(values["class_path"], values.get("init_args"), key)
    for name, value in values.items():
        check_nulls(value, key if name == "init_args" else f"{key}.{name}".lstrip("."))


def _check_options(class_path: str, options: Any, key: str) -> None:
    given = options if isinstance(options, Mapping) else getattr(options, "__dict__", {})
    nulls = [name for name, value in given.items() if value is None]
    if not nulls:
        return
    module, _, name = class_path.rpartition(".")
    try:
        parameters = inspect.signature(getattr(importlib.import_module(module), name)).parameters
    except (ImportError, AttributeError, ValueError, TypeError):  # reported elsewhere
        return
    for name in nulls:
        parameter = parameters.get(name)
        if parameter is None or parameter.default in (None, inspect.Parameter.empty):
            continue
        annotation = str(parameter.annotation)
        if parameter.annotation in (inspect.Parameter.empty, Any) or "None" in annotation or "Optional" in annotation:
            continue
        raise ConfigError(f"expected {key}.{name} to have a value, got null: leave it out for {parameter.default}")
