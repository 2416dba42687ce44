"""Rewrites the parser's error messages as one sentence: the expected value, the given value, and the remedy."""

import importlib
import inspect
import re
from collections.abc import Iterable

import torch

from msal_lightning.config.command_parser import sentence
from msal_lightning.data import ActiveDataModule, Augmentation
from msal_lightning.io.suggestions import did_you_mean
from msal_lightning.models.backbones import Backbone
from msal_lightning.models.encoder import Encoder
from msal_lightning.oracles import Oracle
from msal_lightning.stopping import StoppingCriterion
from msal_lightning.strategies import ScoreStrategy, Strategy

# The base class of a key, for suggestions of names
_BASES: dict[str, type] = {
    "query": Strategy,
    "initial": Strategy,
    "uncertainty": ScoreStrategy,
    "oracle": Oracle,
    "stop": StoppingCriterion,
    "data": ActiveDataModule,
    "augmentation": Augmentation,
    "backbone": Backbone,
    "model": Encoder,
    "optimizer": torch.optim.Optimizer,
    "lr_scheduler": torch.optim.lr_scheduler.LRScheduler,
}
_WHAT = {
    "query": "strategy (list: `python -m msal_lightning strategies`)",
    "initial": "strategy without a model",
    "uncertainty": "strategy with a score",
    "oracle": "source of labels",
    "stop": "stopping criterion",
    "data": "dataset (list: `python -m msal_lightning datasets`)",
}


def explain(message: str, keys: Iterable[str]) -> str:
    """Rewrite an error of jsonargparse.

    Args:
        message: several lines, the innermost cause last.
        keys: dotted keys that the parser knows, for suggestions.
    """
    key = ".".join(re.findall(r'Parser key "([\w.]+)"', message))
    known = sorted(keys)

    if said := _of_shape(message, key, known):
        return said
    if (found := re.search(r"required: (.+?)(?:\. Got value.*)?$", message, re.MULTILINE)) and key:
        return f"{key} needs a value for {found[1]}: set {key}.{found[1].split(',')[0]}"
    if found := re.search(r"required: (.+)", message):
        return f"expected values for {found[1]}: name a configuration that has them, --config digits for example"
    if found := re.search(r"unrecognized arguments: (.+)", message):
        option = found[1].split()[0].partition("=")[0]
        return f"unknown option '{option}'{_near_key(option.lstrip('-'), known, '--')}"
    if found := re.search(r"Group '([\w.]+)' does not accept option '([\w.]+)'", message):
        return f"unknown key '{found[1]}.{found[2]}'{_near_key(f'{found[1]}.{found[2]}', known)}"
    if found := re.search(r"class_path '([\w.]+)':\s+(?:Group .+ )?Option '([\w.]+)' is not accepted", message):
        return _no_option(key, found[1], found[2])
    if found := re.search(r"Option '([\w.]+)' is not accepted\. Got value: Namespace\(class_path='([\w.]+)'", message):
        return _no_option(key, found[2], found[1])
    if found := re.search(r"Option '([\w.]+)' is not accepted", message):
        return f"unknown key '{found[1]}'{_near_key(found[1], known)}"
    if found := re.search(r"Expected a <class '(?:int|float|bool)'>", message):
        kind = "an integer" if "'int'" in found[0] else "a number" if "'float'" in found[0] else "true or false"
        kind = "a number" if "Expected a <class 'float'>" in message else kind
        if "Literal" not in message:
            return f"expected {key} to be {kind}, got '{_got(message, 0)}'"
    if literals := re.findall(r"Literal\[([^\]]+)\]", message):
        values = list(dict.fromkeys(v.strip(" '\"") for part in literals for v in part.split(",")))
        number = "a number or " if "Expected a <class 'int'>" in message and "trainer" not in key else ""
        truth = "true or false or " if "Expected a <class 'bool'>" in message else ""
        got = _got(message)
        return f"expected {key} to be {number}{truth}{' or '.join(values)}, got '{got}'{did_you_mean(got, values)}"
    if found := re.search(r"Expected a dot import path string: (\S+)", message):
        names = _siblings(key)
        what = _WHAT.get(key.rpartition(".")[2], "class that exists")
        return f"expected {key} to name a {what}, got '{found[1]}'{did_you_mean(found[1], names) or _choice(names)}"
    if found := re.search(r"instantiatable class, but ([\w.]+) is abstract", message):
        return f"expected {key} to name a concrete class, got '{found[1]}', which is abstract{_choice(_siblings(key))}"
    if found := re.search(r"class_path '([\w.]+)':\s+(No module named \S+|.*has no attribute.*)", message):
        return (
            f"cannot import {key} '{found[1]}' ({found[2]}): run from the folder that holds the module, or install it"
        )
    if found := re.search(r"does not correspond to a subclass of (\w+)", message):
        return f"expected {key} to be a subclass of {found[1]}, got '{_got(message)}'"
    if "Expected a <class 'list'>" in message:
        return f"expected {key} to be a list, '[first, second]', got '{_got(message, 0)}'"
    if found := re.search(r"Errors:\s+- (.+)\s+- Expected a <class 'NoneType'>", message):
        return found[1]  # raised by a constructor, whose message is one sentence already
    return " ".join(message.split())


def _siblings(key: str) -> list[str]:
    """Return the names that a key of a class may have; empty for any other key."""
    last = key.rpartition(".")[2]
    return concrete_names(_BASES[last]) if last in _BASES else []


def _choice(known: list[str]) -> str:
    return f": choose {', '.join(known)}, or the dotted path of your own class" if known else ""


def _of_shape(message: str, key: str, known: list[str]) -> str:
    """Explain values of the wrong shape: a number for a section, a list for a class."""
    what = _WHAT.get(key.rpartition(".")[2], "class")
    if found := re.search(r"Unable to load config '(.*)'", message):
        example = next((name for name in known if name.startswith(f"{key}.")), f"{key}.KEY")
        return f"expected {key} to hold keys like {example}, got '{found[1]}': set them one by one, --{example} VALUE"
    if "object has no attribute 'keys'" in message:
        return f"expected {key}.init_args to map options to values, {{beta: 5}} for example, got something else"
    if re.search(r"argument of type '\w+' is not iterable", message):
        return f"expected {key}.class_path to name a {what}, got something else"
    if re.search(r"Not a valid subclass of \w+|Expected an import path or a subclass spec", message):
        return f"expected {key} to name a {what}, got '{_got(message)}'{_choice(_siblings(key))}"
    if found := re.search(r"Expected '([\w.]+)' to be a subclass of (.+?)\.\.", message):
        base = " or ".join(re.findall(r"(\w+)(?=[,'\]])", found[2])) or found[2]
        return f"expected {key} to be a subclass of {base}, got '{found[1]}'"
    if found := re.search(r"callable class: (No module named '\S+'|.*has no attribute.*)\. Got value: (\S+)", message):
        return (
            f"cannot import {key} '{found[2]}' ({found[1]}): run from the folder that holds the module, or install it"
        )
    if found := re.search(r"Key must be a string, got: (.+)\.", message):
        return f"expected {f'the keys of {key}' if key else 'all keys'} to be words, got {found[1]}: put it in quotes"
    if "Expected a <class 'str'>" in message and key:
        return f"expected {key} to be a word or a path, got '{_got(message)}'"
    if found := re.search(r"File does not exist: '(.+)'", message):
        return f"expected {key} to name a file, found no '{found[1]}'"
    if found := re.search(r"Timer\(duration='(.*)'\)", message):
        return (  # a valid duration is refused too
            f"expected trainer.max_time, and a Timer among trainer.callbacks, to be left out, got '{found[1]}': set "
            "trainer.max_epochs or trainer.max_steps"
        )
    return sentence(message) if message.startswith("argument --") else ""


def _no_option(key: str, class_path: str, option: str) -> str:
    name = class_path.rpartition(".")[2]
    if option == "class_path":
        return f"expected {key} to have class_path and init_args alone, got another key: put it in init_args"
    options = _options(class_path)
    takes = f"it takes {', '.join(options)}" if options else "it takes none"
    return f"{key}: {name} has no option '{option}'{did_you_mean(option, options)} ({takes})"


def _got(message: str, which: int = -1) -> str:
    """Return the given value as YAML would write it."""
    found = re.findall(r"(?:Got value|Given value): (.+?)(?:\. Got value.*)?$", message, flags=re.MULTILINE)
    value: str = found[which] if found else "?"
    if nested := re.match(r"NestedArg\(key='.*', val='?(.*?)'?\)$", value):
        value = nested[1]
    return {"None": "null", "True": "true", "False": "false"}.get(value, value)


def _near_key(key: str, known: list[str], prefix: str = "") -> str:
    """Suggest keys of the same section by their last word, since a long common beginning makes all keys look alike."""
    section, dot, name = key.rpartition(".")
    siblings = [other.rpartition(".")[2] for other in known if dot and other.rpartition(".")[0] == section]
    if siblings:
        return did_you_mean(name, siblings, f"{prefix}{section}.")
    return did_you_mean(key, known, prefix)


def concrete_names(base: type) -> list[str]:
    """Return the names of the concrete subclasses of a class in its own package."""
    package = base.__module__.partition(".")[0]

    def below(cls: type) -> set[type]:
        direct: list[type] = cls.__subclasses__()
        return set(direct).union(*map(below, direct))

    theirs = (cls for cls in below(base) if cls.__module__.partition(".")[0] == package)
    return sorted({cls.__name__ for cls in theirs if not inspect.isabstract(cls) and not cls.__name__.startswith("_")})


def _options(class_path: str) -> list[str]:
    module, _, name = class_path.rpartition(".")
    try:
        return list(inspect.signature(getattr(importlib.import_module(module), name)).parameters)
    except ValueError:  # a class written in C, torch.Tensor for example
        return []
