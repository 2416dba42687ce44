"""Read the configuration of a run directory that may be a stranger's: check its class names and paths.

All checks work on plain YAML values, before any class is imported. See docs/security.md.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import yaml

from msal_lightning.config.ownership import find_by_name, find_owned, is_dotted, plain_options
from msal_lightning.errors import ConfigError
from msal_lightning.io.yaml_files import load_yaml, read_bytes
from msal_lightning.runs.moved_names import present
from msal_lightning.runs.signature import is_own

OF_THE_START = ("loop.replay", "loop.first_fit", "loop.initial", "loop.initial_features", "loop.stop")
"""Keys that another run does not take over: files of other runs, and the choice of the initial set."""
_CLASS_KEYS = {"class_path", "init_args", "dict_kwargs"}
_GROUPS = ("loop", "model", "trainer")  # a string there would be the name of another file
_NAMED = ("query", "data", "model.backbone", "model.optimizer", "model.lr_scheduler")
_PLACE = re.compile(r"(dir|path|root|weights|folder|ur[il]|host)$")
_KEY = re.compile(r"(?!__)[A-Za-z_]\w*", re.ASCII)


@dataclass(frozen=True)
class RunConfig:
    """Parts of a run's configuration that are safe to parse.

    Attributes:
        values: plain YAML values.
        own: whether this user's ``fit`` made the run.
        left_out: keys that are ignored in a stranger's configuration.
    """

    values: dict[str, Any]
    own: bool
    left_out: tuple[str, ...] = ()


def read_config(
    folder: Path,
    parts: Sequence[str],
    trusted: Sequence[str] = (),
    of_ones_own: Sequence[str] = (),
    leave_out: Sequence[str] = OF_THE_START,
) -> RunConfig:
    """Read the keys that a command takes from a run's configuration.

    Args:
        folder: the run directory.
        parts: top-level keys that the command needs.
        trusted: dotted paths that the user has named.
        of_ones_own: further keys to take if this user's ``fit`` made the run.
        leave_out: dotted keys that the command does not use.

    Raises:
        ConfigError: the configuration is damaged, or it is a stranger's and names an untrusted class or path.
    """
    file = folder / "config.yaml"
    try:
        content = read_bytes(file)
        values = present(load_yaml(content.decode("utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        why = getattr(error, "problem", None) or getattr(error, "strerror", None) or "it cannot be read"
        raise ConfigError(f"the configuration '{file}' is damaged ({why}): choose another run") from None
    if not isinstance(values, dict):
        raise ConfigError(f"the configuration '{file}' is damaged (no keys like seed and data): choose another run")
    own = is_own(folder, content)
    taken = {key: values[key] for key in (*parts, *(of_ones_own if own else ())) if key in values}
    for key in leave_out:
        _remove(taken, key.split("."))
    if own:
        return RunConfig(taken, True)
    left_out = tuple(key for key in of_ones_own if isinstance(values.get(key), dict) and not _is_usual(values[key]))
    return RunConfig(_Check(folder, file, trusted).config(taken), False, left_out)


def _remove(values: Any, path: list[str]) -> None:
    for key in path[:-1]:
        values = values.get(key) if isinstance(values, dict) else None
    if isinstance(values, dict):
        values.pop(path[-1], None)


def _is_usual(value: Mapping[str, Any]) -> bool:
    return str(value.get("class_path")).endswith(".Simulated")  # the oracle that a replay has anyway


class _Check:
    """Checks a stranger's configuration and returns it with full class paths."""

    def __init__(self, folder: Path, file: Path, trusted: Sequence[str]) -> None:
        self._folder, self._file, self._trusted = folder, file, trusted

    def config(self, values: Mapping[str, Any]) -> dict[str, Any]:
        for key in _GROUPS:
            if key in values and not isinstance(values[key], Mapping):
                self._refuse(key, values[key], "expected keys below it")
        return {self._key(key): self._value(value, key, plain=False) for key, value in values.items()}

    def _value(self, value: Any, key: str, plain: bool) -> Any:
        if isinstance(value, Mapping):
            if "class_path" in value:
                return self._class(value, key)
            return {self._key(name): self._value(part, f"{key}.{name}", plain=False) for name, part in value.items()}
        if isinstance(value, list):
            return [self._value(part, key, plain) for part in value]
        if not isinstance(value, str):
            return value
        if not plain:
            return self._name(value, key)
        if not key.startswith("data."):  # data may lie anywhere, since they are only read
            self._inside(value, key)
        return value

    def _class(self, value: Mapping[str, Any], key: str) -> dict[str, Any]:
        if unknown := {*value} - _CLASS_KEYS:
            self._refuse(f"{key}.{min(map(str, unknown))}", "it", "expected class_path and init_args only")
        path, found = self._find(value["class_path"], key)
        plain = plain_options(found)
        checked: dict[str, Any] = {"class_path": path}
        for part in ("init_args", "dict_kwargs"):
            options = value.get(part)
            if options is None:
                continue
            if not isinstance(options, Mapping):
                self._refuse(f"{key}.{part}", options, "expected options below it")
            checked[part] = {
                self._key(name): self._value(option, f"{key}.{part}.{name}", plain=name in plain)
                for name, option in options.items()
            }
        return checked

    def _name(self, value: str, key: str) -> Any:
        """A string where a class may be named."""
        if not re.search(r"[./\\:~]", value) or (key.startswith("trainer.") and re.fullmatch(r"[\d:]+", value)):
            if found := find_by_name(value):
                return {"class_path": found}
            if key.split(".")[0] in ("query", "data") or key in _NAMED:  # it might be the name of another file
                self._refuse(key, value, "expected the name of a class")
            return value
        path, _ = self._find(value, key)
        return {"class_path": path}

    def _find(self, path: Any, key: str) -> tuple[str, Any]:
        if isinstance(path, str) and not is_dotted(path):
            path = find_by_name(path) or path
        if isinstance(path, str) and is_dotted(path):
            if path in self._trusted:
                return path, _import(path)
            if (found := find_owned(path)) is not None:
                return path, found
        return self._refuse(key, path)

    def _inside(self, value: str, key: str) -> None:
        name = key.rpartition(".")[2]
        if not (re.search(r"[/\\~]", value) or _PLACE.search(name)):
            return
        if "://" in value or not Path(value).resolve().is_relative_to(self._folder.resolve()):
            self._refuse(key, value, "expected a place in the run directory")

    def _key(self, key: Any) -> str:
        if not isinstance(key, str) or not _KEY.fullmatch(key):
            self._refuse(str(key), "it", "expected plain words as keys")
        return key

    def _refuse(self, key: str, got: Any, expected: str = "") -> NoReturn:
        if not expected and isinstance(got, str) and is_dotted(got):
            raise ConfigError(
                f"'{self._file}' was not made by your `fit`, and names {got} in {key}, which is neither of "
                f"msal_lightning nor of torch.optim or Lightning's callbacks: add --trust {got} if you know what it "
                "does"
            )
        raise ConfigError(
            f"'{self._file}' was not made by your `fit`, and has {str(got)[:80]!r} in {key}, which is not allowed "
            f"there ({expected or 'expected the name of a class'}): choose another run"
        )


def _import(path: str) -> Any:
    """Import a trusted name; None if that fails, which the parser reports later."""
    from importlib import import_module

    module, _, name = path.rpartition(".")
    try:
        return getattr(import_module(module), name)
    except Exception:
        return None
