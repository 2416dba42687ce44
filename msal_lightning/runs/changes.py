"""Differences between configurations: values that were set, but not options that a new version has added."""

import importlib
import inspect
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from msal_lightning.data.batches.batch_size import FORMER_LAST_BATCH, LAST_BATCH
from msal_lightning.runs.moved_names import former

_ABSENT, _GONE = object(), object()  # no default; no such option
# Classes of the configuration groups that have no class_path
_GROUPS = {
    "trainer": "lightning.pytorch.Trainer",
    "model": "msal_lightning.models.classifier.MSALClassifier",
    "loop": "msal_lightning.runs.options.LoopOptions",
}
# Values that absent options stand for, if these are not the defaults
_ABSENT_MEANS: dict[str, Any] = {LAST_BATCH: FORMER_LAST_BATCH}
# In every configuration since all options of the Trainer are written
_WRITTEN_LATER = "trainer.max_steps"
# Packages that may be imported to read a signature; a configuration may come from a stranger
_HARMLESS = ("torch", "lightning", "msal_lightning")


def changed(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return the keys in which two configurations differ.

    A key that only one configuration has is ignored if its value is the installed default, because a new version of
    torch, Lightning or this package has added the option; so is what a former version did not write.

    Args:
        before: flattened configuration, see :func:`msal_lightning.runs.config.flatten`.
        now: flattened configuration.

    Returns:
        Both values of each key; None for an absent value.
    """
    unknown = not_written(before, now)
    keys = [key for key in {**before, **now} if key not in unknown and not _same(key, before, now)]
    return {key: (before.get(key), now.get(key)) for key in keys}


def not_written(before: Mapping[str, Any], now: Mapping[str, Any]) -> set[str]:
    """Return the options of the Trainer in ``now`` whose values the version that wrote ``before`` did not keep.

    Args:
        before: flattened configuration of a run.
        now: flattened configuration.
    """
    return set() if knows_trainer(before) else {key for key in now if key.startswith("trainer.") and key not in before}


def knows_trainer(config: Mapping[str, Any]) -> bool:
    """Whether a configuration has all options of the Trainer; versions before 0.2 wrote few.

    Args:
        config: flattened configuration of a run; one without any option of the Trainer is none of theirs.
    """
    return _WRITTEN_LATER in config or not any(key.startswith("trainer.") for key in config)


def gone(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return the keys that the installed version no longer has.

    Args:
        before: flattened configuration of a run.
        now: flattened configuration, resolved by the installed version.
    """
    return [key for key in before if key not in now and _option_of(key, before) and not _has_option(key, before)]


def aligned(configs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Make configurations of several versions comparable.

    Default values of options that only some versions have are dropped. So are options of the Trainer that some versions
    did not write, if all others agree on them.

    Args:
        configs: flattened configurations, in any order.
    """
    configs = _without_unknown(configs)
    having: dict[tuple[str, str], int] = defaultdict(int)  # number of configurations with this option of this class
    classes: dict[str, int] = defaultdict(int)  # number of configurations with this class
    for config in configs:
        options = {option for key in config if config[key] is not None and (option := _option_of(key, config))}
        for option in options:
            having[option] += 1
        for path in {path for path, _ in options}:
            classes[path] += 1

    def is_new(key: str, config: Mapping[str, Any]) -> bool:
        option = _option_of(key, config)
        return option is not None and having[option] < classes[option[0]] and _is_default(key, config)

    def in_common(key: str, value: Any) -> Any:
        """Drop such options from callbacks, which stand in a list that is not flattened."""
        in_two_forms = isinstance(value, list) and any(config.get(key) not in (value, None) for config in configs)
        return _set(value) if in_two_forms else value

    return [{key: in_common(key, config[key]) for key in config if not is_new(key, config)} for config in configs]


def without_defaults(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a flattened configuration without installed defaults, so that all versions give the same result.

    Classes get their former names, from before modules moved.

    Args:
        config: flattened configuration.
    """
    kept: dict[str, Any] = former({k: _set(value) for k, value in config.items() if not _is_default(k, config)})
    return kept


def _without_unknown(configs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    knowing = [config for config in configs if knows_trainer(config)]
    agreed: set[str] = set()
    for earlier in (config for config in configs if not knows_trainer(config)):
        unknown = {key for config in knowing for key in not_written(earlier, config)}
        agreed |= {key for key in unknown if all(config.get(key) == knowing[0].get(key) for config in knowing)}
    return [{key: value for key, value in config.items() if key not in agreed} for config in configs]


def _same(key: str, a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    if key in a and key in b:
        return bool(_set(a[key]) == _set(b[key]))
    return _is_default(key, a if key in a else b)


def _is_default(key: str, config: Mapping[str, Any]) -> bool:
    if key in _ABSENT_MEANS:
        return bool(config[key] == _ABSENT_MEANS[key])
    option = _option_of(key, config)
    return config[key] is None or (option is not None and _equals_default(*option, config[key]))


def _option_of(key: str, config: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return class and name of the option that a key sets; None if it sets no option."""
    group, _, name = key.rpartition(".")
    if group.endswith("init_args"):
        return str(config.get(f"{group.removesuffix('init_args')}class_path")), name
    return (_GROUPS[group], name) if group in _GROUPS else None


def _has_option(key: str, config: Mapping[str, Any]) -> bool:
    option = _option_of(key, config)
    return option is None or _default(*option) is not _GONE


def _set(value: Any) -> Any:
    """Remove default options of named classes from a value and its lists."""
    if isinstance(value, list | tuple):
        return [_set(item) for item in value]
    if not isinstance(value, Mapping):
        return value
    path, options = value.get("class_path"), value.get("init_args")
    if not isinstance(path, str) or not isinstance(options, Mapping):
        return {key: _set(item) for key, item in value.items()}
    kept = {name: _set(item) for name, item in options.items() if not _equals_default(path, name, item)}
    return {"class_path": path, "init_args": kept}


def _equals_default(class_path: str, option: str, value: Any) -> bool:
    if value is None:
        return True
    default = _default(class_path, option)
    if isinstance(default, tuple):
        default = list(default)
    return type(default) is type(value) and bool(default == value)


def _default(class_path: str, option: str) -> Any:
    """Return the default of a constructor's argument, which may belong to a base class."""
    module, _, name = class_path.rpartition(".")
    if module not in sys.modules and module.partition(".")[0] not in _HARMLESS:
        return _ABSENT
    try:
        found = getattr(importlib.import_module(module), name)
        bases = found.__mro__ if inspect.isclass(found) else ()
        makers = [vars(base)["__init__"] for base in bases if "__init__" in vars(base)] or [found]
        for constructor in makers:
            parameter = inspect.signature(constructor).parameters.get(option)
            if parameter is not None:
                return _ABSENT if parameter.default is parameter.empty else parameter.default
    except (ImportError, AttributeError, TypeError, ValueError):
        return _ABSENT
    return _GONE
