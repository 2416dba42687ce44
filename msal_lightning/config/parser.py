"""The parser of ``fit``: from a configuration in YAML and on the command line to its objects."""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any, Literal

import yaml
from jsonargparse import (  # type: ignore[attr-defined]
    SUPPRESS,
    ActionConfigFile,
    ArgumentError,
    ArgumentParser,
    DefaultHelpFormatter,
    Namespace,
)
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import Logger

from msal_lightning import datasets  # noqa: F401 - --data finds these names
from msal_lightning.compat import drop_options_of_another_class, parser_actions
from msal_lightning.config.callables import check_callables
from msal_lightning.config.command_parser import PROGRAM
from msal_lightning.config.errors import concrete_names, explain
from msal_lightning.config.files import resolve_configs, shipped_names
from msal_lightning.config.former_names import read_former_names
from msal_lightning.config.null_values import check_nulls
from msal_lightning.config.paths import expand_paths
from msal_lightning.data import ActiveDataModule
from msal_lightning.errors import ConfigError
from msal_lightning.models.classifier import MSALClassifier
from msal_lightning.models.timm_backbone import EfficientNetLite0, TimmBackbone  # noqa: F401 - --model.backbone finds these
from msal_lightning.oracles import Files, LabelStudio, Oracle, Simulated, Told  # noqa: F401 - --oracle finds these
from msal_lightning.runs.moved_names import present
from msal_lightning.runs.options import LoopOptions
from msal_lightning.stopping import AccuracyReached, KappaAgreement  # noqa: F401 - --loop.stop finds these and their like
from msal_lightning.strategies import Strategy

PROG = f"{PROGRAM} fit"
DESCRIPTION = f"""\
Run an active-learning loop, or resume one that was interrupted: the same command does both.

examples:
  {PROG} --config digits
  {PROG} --config digits --query Entropy --model.head linear --seed 3
  {PROG} --config mnist --query.beta 10 --trainer.precision bf16-mixed --logger wandb
  {PROG} --config cifar100 --plan                 rounds, steps, memory and time, without running it
  {PROG} --config my.yaml --print_config          the resolved configuration, without running it
"""
_OBJECT = "Unable to serialize instance "  # what jsonargparse writes in place of a value that is not plain
# Options that came later: a run made before a key existed is the same run as one with this value
_LATER = {
    "value_range": "auto",
    "bands": None,
    "fit": "crop",
    "background": None,
    "validation_fraction": 0.0,
    "group": None,
    "sampling": "uniform",
}
# Trainer arguments that the loop sets itself, or that would make a round silently incomplete
_LOOP_OWNS = {
    "logger",
    "default_root_dir",
    "enable_checkpointing",
    "enable_model_summary",
    "enable_progress_bar",
    "log_every_n_steps",
    "limit_predict_batches",
    "limit_test_batches",
    "overfit_batches",
    "fast_dev_run",
    "barebones",
    "reload_dataloaders_every_n_epochs",
    "use_distributed_sampler",
    "precision",  # has an option of its own, with auto
}
Precision = Literal["auto", "32-true", "bf16-mixed", "16-mixed"]
_TRAINER_HELP = {
    "precision": "precision of each fit and pool pass; auto chooses bf16-mixed if the device supports it, else "
    "32-true; scores stay in float32",
    "max_epochs": "epochs of each round's fit",
    "accelerator": "cpu, gpu, mps, or auto",
    "devices": "number of processes that share each fit, test and pool pass, batch by batch",
    "strategy": "auto, or ddp on several devices",
    "callbacks": "your own callbacks, made anew for each round",
    "gradient_clip_val": "maximum norm of the gradient",
    "deterministic": "refuse GPU operations whose results differ between runs",
}


@cache
def build_parser() -> ArgumentParser:
    """Build the options of ``fit`` from the signatures of the classes that they configure; once in a process."""
    drop_options_of_another_class()
    read_former_names()
    parser = ArgumentParser(
        prog=PROG,
        usage=f"{PROG} --config NAME [--KEY VALUE ...]",
        description=f"{DESCRIPTION}\nshipped configurations: {', '.join(shipped_names())}",
        exit_on_error=False,
        allow_abbrev=False,
        formatter_class=_Formatter,
    )
    parser.add_argument(
        "-c",
        "--config",
        action=ActionConfigFile,
        help="a YAML file, or the bare name of one in the current folder, in configs/ or among the shipped ones; "
        "may be repeated, the last value of a key counts",
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of every random draw")
    parser.add_argument(
        "--run_dir",
        type=str | None,
        default=None,
        help="folder for the results; runs/DATA-QUERY-HEAD-seedSEED by default",
    )
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="begin anew in run_dir; what people made (labels, amendments, exports) stays in folders that end in -1",
    )
    parser.add_argument("--plan", action="store_true", help="print rounds, steps, memory and time; train nothing")
    parser.add_argument(
        "--logger",
        type=Literal["csv", "wandb"] | Logger,
        default="csv",
        help="csv: files only; wandb: Weights & Biases; or the class_path of any Lightning logger",
    )
    parser.add_argument(
        "--wandb_images",
        type=int,
        default=32,
        help="number of images per query sent to W&B, with score, prediction and label; 0: no image leaves the machine",
    )
    parser.add_argument(
        "--query_executor",
        type=Literal["trainer", "ray"],
        default="trainer",
        help="who scores the pool: the Trainer on its devices, or a Ray cluster in parts (extra ray)",
    )
    parser.add_argument(
        "--query_parts",
        type=int | None,
        default=None,
        help="number of parts of the pool on a Ray cluster; two per core by default",
    )
    parser.add_class_arguments(LoopOptions, "loop", skip={"seed"}, instantiate=False)
    parser.add_subclass_arguments(Strategy, "query", required=True)
    parser.add_subclass_arguments(ActiveDataModule, "data", required=True)
    parser.add_subclass_arguments(Oracle, "oracle", required=False)
    parser.set_defaults({"oracle": {"class_path": "msal_lightning.oracles.simulated.Simulated"}})
    parser.add_class_arguments(MSALClassifier, "model", skip={"num_classes", "in_channels"}, instantiate=False)
    parser.add_class_arguments(Trainer, "trainer", skip=_LOOP_OWNS, instantiate=False)
    parser.add_argument("--trainer.precision", type=Precision, default="auto")
    parser.set_defaults({"trainer.devices": 1})
    _shorten_help(parser)
    return parser


def parse(
    parser: ArgumentParser, argv: list[str], known: Sequence[str] = (), base: Mapping[str, Any] | None = None
) -> Namespace:
    """Return the resolved configuration.

    Args:
        parser: see :func:`build_parser`.
        argv: options of ``fit``.
        known: options of the calling command, for suggestions.
        base: plain values that the options override, in place of a file.

    Raises:
        ConfigError: an option is unknown, or a value does not fit.
    """
    try:
        words = [*_as_options(base), *resolve_configs(argv)]
        config = parser.parse_args(["=".join(present(word.split("=", 1))) for word in words])
    except ArgumentError as error:
        raise ConfigError(explain(str(error), [*_keys(parser), *known])) from None
    for switch in ("overwrite", "plan"):
        if not isinstance(config[switch], bool):
            raise ConfigError(f"expected {switch} to be true or false, got '{config[switch]}': leave it out for false")
    expand_paths(config)
    check_nulls(config)
    check_callables(config)
    if not any((config.trainer.max_epochs, config.trainer.max_time, config.trainer.max_steps > 0)):
        raise ConfigError(
            f"expected trainer.max_epochs to be the length of each fit, got {config.trainer.max_epochs}: 20 is usual"
        )
    return config


def _as_options(base: Mapping[str, Any] | None) -> list[str]:
    """Pass values as the text of a configuration, so that the parser opens no other file of a stranger."""
    if base is None:
        return []
    no_file_name = "#" * 5000  # longer than a path may be
    return ["--config", f"{no_file_name}\n{yaml.safe_dump(dict(base))}"]


def resolve(parser: ArgumentParser, config: Namespace) -> dict[str, Any]:
    """Return what a run directory keeps of a configuration: everything that repeats the run, as YAML values."""
    try:
        resolved: dict[str, Any] = present(json.loads(parser.dump(config, format="json", skip_validation=True)))
        found = _first_object(resolved)
    except TypeError:
        values = {name: value for name, value in vars(config).items() if name != "config"}  # paths of the files read
        found = _first_object(values) or ("every key", "an object")
    if found:  # an option whose default is no plain value, for example
        key, shown = found
        raise ConfigError(
            f"expected {key} to have a value that config.yaml can hold, got {shown}: set it to text or a number, or "
            "leave its class out"
        )
    # a repetition must not erase the run, and the shared model of round 0 may be gone by then
    del resolved["overwrite"], resolved["plan"]
    resolved["loop"].pop("first_fit", None)
    data = resolved["data"].get("init_args") or {}
    for key, default in _LATER.items():
        if key in data and data[key] == default:
            del data[key]
    if not resolved["loop"].get("held_out"):  # held_out came later too
        resolved["loop"].pop("held_out", None)
    if resolved["loop"].get("stop") is None:
        resolved["loop"].pop("stop", None)
    return resolved


def _first_object(config: Any, key: str = "") -> tuple[str, str] | None:
    """Return the dotted key and the representation of the first value that is no plain one; None without any."""
    if isinstance(config, list | tuple):
        parts = [(key, one) for one in config]
    elif isinstance(config, Namespace | dict):
        values = config if isinstance(config, dict) else vars(config)
        parts = [(key if name == "init_args" else f"{key}.{name}".lstrip("."), one) for name, one in values.items()]
    elif isinstance(config, str):
        return (key, config.removeprefix(_OBJECT)) if config.startswith(_OBJECT) else None
    else:
        return None if isinstance(config, int | float | None) else (key, f"{config!r:.200}")
    return next((found for name, one in parts if (found := _first_object(one, name))), None)


def instantiate(parser: ArgumentParser, config: Namespace, *groups: str) -> Namespace:
    """Make new objects from some groups of a configuration."""
    chosen = Namespace(**{group: config[group] for group in groups})  # type: ignore[no-untyped-call]
    objects: Namespace = parser.instantiate(chosen.clone())
    return objects


@contextmanager
def as_user_error() -> Iterator[None]:
    """Convert argument errors raised by constructors into ConfigError."""
    try:
        yield
    except (ValueError, TypeError, MisconfigurationException, ArgumentError) as error:
        raise ConfigError(explain(str(error), ())) from error


def _keys(parser: ArgumentParser) -> list[str]:
    return [action.dest for action in parser_actions(parser) if "help" not in action.dest]


class _Formatter(DefaultHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Keeps examples as written, and shows plain defaults but neither types nor lists of torch's classes."""

    def _get_help_string(self, action: argparse.Action) -> str:
        plain = isinstance(action.default, int | float | str) and not isinstance(action.default, bool)
        text = (action.help or "").rstrip(".")
        return f"{text} (default: {action.default})" if plain and action.default != SUPPRESS else text

    def add_argument(self, action: argparse.Action) -> None:
        """Leave out what a loop rarely sets; ``action.help = SUPPRESS`` would take it from config.yaml too."""
        section, _, name = action.dest.partition(".")
        if section != "trainer" or name in _TRAINER_HELP:
            super().add_argument(action)


def _shorten_help(parser: ArgumentParser) -> None:
    """Set short titles, and show the few of Trainer's 40 arguments that a loop usually sets; all are accepted."""
    titles = {
        "loop": "loop: how much is labeled, and when",
        "query": "query: the strategy that chooses images (--query.help NAME shows its options)",
        "oracle": "oracle: the source of labels (--oracle.help NAME shows its options)",
        "data": "data: the images (--data.help NAME shows its options)",
        "model": "model: backbone, head and optimizer (--model.backbone.help NAME shows its options)",
        "trainer": "trainer: any argument of lightning.pytorch.Trainer, for example",
    }
    for name, group in (parser.groups or {}).items():
        group.title = titles[name]
    for action in parser_actions(parser):
        section, _, name = action.dest.partition(".")
        if section == "trainer":
            action.help = _TRAINER_HELP.get(name)
        elif action.dest in ("loop", "model") or name.endswith("help") or action.dest == "print_config":
            action.help = SUPPRESS
        elif base := {"query": Strategy, "oracle": Oracle, "data": ActiveDataModule}.get(action.dest):
            action.help = f"{', '.join(concrete_names(base))}, or the dotted path of your own class"
            action.metavar = "NAME"
