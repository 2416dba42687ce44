"""The parser's error messages, put as one sentence: what was expected, what was got, and the remedy."""

import difflib
import importlib
import inspect
import re
from collections.abc import Iterable

import torch

from msal_lightning.backbones import Backbone
from msal_lightning.data import ActiveDataModule, Augmentation
from msal_lightning.strategies import ScoreStrategy, Strategy

# The base class behind a key, to suggest names from
_BASES: dict[str, type] = {
    "query": Strategy,
    "uncertainty": ScoreStrategy,
    "data": ActiveDataModule,
    "augmentation": Augmentation,
    "backbone": Backbone,
    "optimizer": torch.optim.Optimizer,
    "lr_scheduler": torch.optim.lr_scheduler.LRScheduler,
}
_WHAT = {
    "query": "strategy (list: `python -m msal_lightning strategies`)",
    "uncertainty": "strategy with a score",
    "data": "dataset (list: `python -m msal_lightning datasets`)",
}


def explain(message: str, keys: Iterable[str]) -> str:
    """Rewrite an error of jsonargparse.

    Args:
        message: several lines, the innermost cause last.
        keys: that the parser knows, dotted, to suggest from.
    """
    key = ".".join(re.findall(r'Parser key "([\w.]+)"', message))
    known = sorted(keys)

    if (found := re.search(r"required: (.+)", message)) and key:
        return f"{key} needs a value for {found[1]}: set {key}.{found[1].split(',')[0]}"
    if found := re.search(r"required: (.+)", message):
        return f"expected values for {found[1]}: name a configuration that has them, --config digits for example"
    if found := re.search(r"unrecognized arguments: (.+)", message):
        option = found[1].split()[0]
        return f"unknown option '{option}'{_near(option.lstrip('-').partition('=')[0], known, prefix='--')}"
    if found := re.search(r"Group '([\w.]+)' does not accept option '([\w.]+)'", message):
        return f"unknown key '{found[1]}.{found[2]}'{_near(f'{found[1]}.{found[2]}', known)}"
    if found := re.search(r"class_path '([\w.]+)':\s+(?:Group .+ )?Option '([\w.]+)' is not accepted", message):
        options = _options(found[1])
        takes = f"it takes {', '.join(options)}" if options else "it takes none"
        return f"{key}: {found[1].rpartition('.')[2]} has no option '{found[2]}'{_near(found[2], options)} ({takes})"
    if found := re.search(r"Option '([\w.]+)' is not accepted", message):
        return f"unknown key '{found[1]}'{_near(found[1], known)}"
    if found := re.search(r"Expected a <class '(?:int|float|bool)'>", message):
        got = re.findall(r"(?:Got value|Given value): (.+?)(?:\. Got value.*)?$", message, flags=re.MULTILINE)
        kind = "an integer" if "'int'" in found[0] else "a number" if "'float'" in found[0] else "true or false"
        if "Literal" not in message:
            return f"expected {key} to be {kind}, got '{got[0] if got else '?'}'"
    if literals := re.findall(r"Literal\[([^\]]+)\]", message):
        values = list(dict.fromkeys(v.strip(" '\"") for part in literals for v in part.split(",")))
        number = "a number or " if "Expected a <class 'int'>" in message and "trainer" not in key else ""
        got_value = re.findall(r"(?:Got value|Given value): (.+?)(?:\. Got value.*)?$", message, flags=re.MULTILINE)[-1]
        return f"expected {key} to be {number}{' or '.join(values)}, got '{got_value}'{_near(got_value, values)}"
    if found := re.search(r"Expected a dot import path string: (\S+)", message):
        last = key.rpartition(".")[2]
        names = concrete_names(_BASES[last]) if last in _BASES else []
        what = _WHAT.get(last, "class that exists")
        return f"expected {key} to name a {what}, got '{found[1]}'{_near(found[1], names) or _choice(names)}"
    if found := re.search(r"instantiatable class, but ([\w.]+) is abstract", message):
        last = key.rpartition(".")[2]
        names = concrete_names(_BASES[last]) if last in _BASES else []
        return f"expected {key} to name a class that can be made, got '{found[1]}', which is abstract{_choice(names)}"
    if found := re.search(r"class_path '([\w.]+)':\s+(No module named \S+|.*has no attribute.*)", message):
        return (
            f"cannot import {key} '{found[1]}' ({found[2]}): run from the folder that holds the module, or install it"
        )
    if found := re.search(r"does not correspond to a subclass of (\w+)", message):
        got_value = re.findall(r"Given value: (.+)$", message, flags=re.MULTILINE)[-1]
        return f"expected {key} to be a subclass of {found[1]}, got '{got_value}'"
    if "Expected a <class 'list'>" in message:
        got_value = re.findall(r"Given value: (.+)$", message, flags=re.MULTILINE)[0]
        return f"expected {key} to be a list, '[first, second]', got '{got_value}'"
    if found := re.search(r"Errors:\s+- (.+)\s+- Expected a <class 'NoneType'>", message):
        return found[1]  # raised by a constructor, which says it in one sentence
    return " ".join(message.split())


def _choice(known: list[str]) -> str:
    return f": choose {', '.join(known)}, or the dotted path of your own class" if known else ""


def _near(got: str, known: list[str], prefix: str = "") -> str:
    by_lower = {name.lower(): name for name in known}
    near = [by_lower[name] for name in difflib.get_close_matches(got.lower(), by_lower, n=2, cutoff=0.6)]
    return f": did you mean {' or '.join(prefix + name for name in near)}?" if near else ""


def concrete_names(base: type) -> list[str]:
    """Names of the classes below a base class that can be made and come with the same package as it."""
    package = base.__module__.partition(".")[0]

    def below(cls: type) -> set[type]:
        direct: list[type] = cls.__subclasses__()
        return set(direct).union(*map(below, direct))

    theirs = (cls for cls in below(base) if cls.__module__.partition(".")[0] == package)
    return sorted({cls.__name__ for cls in theirs if not inspect.isabstract(cls)})


def _options(class_path: str) -> list[str]:
    module, _, name = class_path.rpartition(".")
    return list(inspect.signature(getattr(importlib.import_module(module), name)).parameters)
