"""Check plain values of a file against the type annotations of their dataclass."""

import math
import typing
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin


def check_types(made: Any) -> None:
    """Check all fields of a dataclass instance, including nested instances.

    Raises:
        TypeError: a field has another type than its annotation, or holds NaN or infinity.
    """
    for name, hint in _hints(made.__class__).items():
        if not _fits(getattr(made, name), hint):
            raise TypeError(f"{name} has another type than {hint}")


@cache
def _hints(kind: Any) -> dict[str, Any]:
    hints = typing.get_type_hints(kind)
    return {one.name: hints[one.name] for one in fields(kind)}


def _fits(value: Any, hint: Any) -> bool:
    origin, parts = get_origin(hint), get_args(hint)
    if hint is Any:
        return True
    if origin in (Union, UnionType):
        return any(_fits(value, part) for part in parts)
    if origin is list:
        return isinstance(value, list) and all(_fits(item, parts[0]) for item in value)
    if origin is dict:
        return isinstance(value, Mapping) and all(_fits(k, parts[0]) and _fits(v, parts[1]) for k, v in value.items())
    if is_dataclass(hint):
        if value.__class__ is not hint:
            return False
        check_types(value)
        return True
    if hint is float:  # NaN is a value of some metrics
        return (
            isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= math.inf
        ) or value != value
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63
    return isinstance(value, NoneType if hint is None else hint)
