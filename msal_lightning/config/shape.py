"""The shape of a configuration file: sections hold keys, a class has ``class_path`` and ``init_args``.

jsonargparse says "cannot import" or nothing at all about a file of another shape.
"""

from collections.abc import Mapping
from typing import Any

from msal_lightning.errors import ConfigError
from msal_lightning.io.suggestions import did_you_mean

_SECTIONS = ("loop", "model", "trainer")
_OF_A_CLASS = ("class_path", "init_args", "dict_kwargs")


def check_shape(content: Mapping[Any, Any], where: str) -> None:
    """Refuse sections that are no mappings, and classes in another form.

    Args:
        content: content of a YAML file.
        where: its path, for the message.

    Raises:
        ConfigError: a value has the wrong shape; the message names the key.
    """
    for section in _SECTIONS:
        if section in content and not isinstance(content[section], Mapping):
            got = _shown(content[section])
            raise ConfigError(f"expected {section} in '{where}' to hold keys, got {got}: give it some or leave it out")
    _check(content, "", where)


def _check(value: Any, key: str, where: str) -> None:
    if isinstance(value, list):
        for one in value:
            _check(one, key, where)
    if not isinstance(value, Mapping):
        return
    for name, inner in value.items():
        if not isinstance(name, str):
            raise ConfigError(f"expected all keys in '{where}' to be words, got {name!r}{f' in {key}' if key else ''}")
        _check(inner, f"{key}.{name}" if key else name, where)
    if "class_path" in value and not isinstance(value["class_path"], str):
        got = _shown(value["class_path"])
        raise ConfigError(f"expected {key}.class_path in '{where}' to name a class, got {got}: Entropy for example")
    if not isinstance(value.get("init_args", {}), Mapping | None):
        got = _shown(value["init_args"])
        raise ConfigError(
            f"expected {key}.init_args in '{where}' to map options to values, got {got}: {{option: value}} is the form"
        )
    if "class_path" in value and (other := [name for name in value if name not in _OF_A_CLASS]):
        near = did_you_mean(other[0], _OF_A_CLASS) or f": options belong below {key}.init_args"
        raise ConfigError(f"unknown key '{key}.{other[0]}' in '{where}'{near}")


def _shown(value: Any) -> str:
    return "nothing" if value is None else f"'{value!s:.40}'"
