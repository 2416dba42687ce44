"""From the options of ``embed`` to its objects."""

import argparse
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jsonargparse import ArgumentError, ArgumentParser, Namespace
from lightning.pytorch.utilities.seed import isolate_rng

from msal_lightning.cli.embed.options import read_options
from msal_lightning.compat import drop_options_of_another_class
from msal_lightning.config.errors import explain
from msal_lightning.config.parser import as_user_error
from msal_lightning.config.paths import expand, expand_paths
from msal_lightning.data import ActiveDataModule
from msal_lightning.data.features.manifest import read_manifest
from msal_lightning.data.images.decoding import Decoding
from msal_lightning.data.images.preprocessing import Preprocessing
from msal_lightning.data.label_files.hugging_face import is_saved_dataset
from msal_lightning.datasets import ImageFolder
from msal_lightning.embed.cluster import Cluster
from msal_lightning.embed.embedder import BFLOAT16, Embedder
from msal_lightning.embed.every_image import EveryImage
from msal_lightning.embed.plan import Plan, make_manifest
from msal_lightning.embed.rows import Rows
from msal_lightning.embed.run import Embedding
from msal_lightning.embed.saved_dataset import SavedDataset
from msal_lightning.errors import ConfigError, UserError
from msal_lightning.io.terminal import say
from msal_lightning.models.backbones import Backbone
from msal_lightning.models.encoder import Encoder
from msal_lightning.models.onnx_model import OnnxModel  # noqa: F401
from msal_lightning.models.timm_backbone import EfficientNetLite0, TimmBackbone  # noqa: F401 - --model finds these
from msal_lightning.models.torch_hub_model import TorchHubModel  # noqa: F401
from msal_lightning.models.weights_file import BACKBONE
from msal_lightning.training.precision import choose_precision

_COLOURS = 3
_PREPROCESSING = ("size", "resize", "fit", "interpolation", "mean", "std", "background")
_FILES = ("weights", "file", "repo")


@dataclass(frozen=True)
class Parts:
    """The objects of one command.

    Attributes:
        data: the images.
        rows: the images in one order.
        embedding: the computation.
        manifest: makes the manifest from what is known about the source.
    """

    data: ActiveDataModule
    rows: Rows
    embedding: Embedding
    manifest: Callable[[dict[str, Any]], dict[str, Any]]


def prepare_words(words: Sequence[str]) -> Parts:
    """Call :func:`prepare` with the words of a command, on any node."""
    return prepare(read_options(words))


def prepare_driver(options: argparse.Namespace, cluster: Cluster) -> Parts:
    """Read the images' list; the nodes of a cluster have the model.

    Raises:
        UserError: a mistake that the user can correct.
    """
    data = _read_data(options, _parse(options.rest))
    rows = Rows(data, Decoding(1, _COLOURS))
    plan = Plan(rows_per_shard=options.rows_per_shard)
    return Parts(data, rows, Embedding(options.out, rows, None, plan), cluster.manifest)


def prepare(options: argparse.Namespace) -> Parts:
    """Read the images' list and the model, and try the model once; nothing is written.

    Args:
        options: see ``cli/embed/embed.py``.

    Raises:
        UserError: a mistake that the user can correct.
    """
    config = _parse(options.rest)
    data = _read_data(options, config)
    model = _make_model(config)
    name = config.model.class_path.rpartition(".")[2]
    preprocessing = _preprocessing(options, model, name)
    device = _device(options.accelerator)
    plan = _plan(options, model)
    embedder = Embedder(model, name, preprocessing, device, plan.precision, getattr(torch, plan.dtype))
    how = preprocessing.decoding(data.decoding)
    rows = Rows(data, how)
    about = {
        "class_path": config.model.class_path,
        "init_args": _init_args(config.model),
        "digest": model.digest(),
        "dimension": embedder.dimension,
    }

    def manifest(source: dict[str, Any]) -> dict[str, Any]:
        return make_manifest(plan, about, preprocessing, dict(how.ranges or {}), source, device.type)

    return Parts(data, rows, Embedding(options.out, rows, embedder, plan), manifest)


def _parse(words: list[str]) -> Namespace:
    drop_options_of_another_class()
    parser = ArgumentParser(exit_on_error=False, allow_abbrev=False)
    parser.add_argument("--model", type=Callable[[int], Encoder], required=True)
    parser.add_subclass_arguments(ActiveDataModule, "data", required=False)
    try:
        config = parser.parse_args(words)
    except ArgumentError as error:
        raise ConfigError(explain(str(error), ["model", "data"])) from None
    expand_paths(config)
    for key, value in _init_args(config.model).items():
        if key in _FILES and isinstance(value, str):
            config.model.init_args[key] = expand(value)
    with as_user_error():
        made = parser.instantiate(config)
    config.make_model, config.dataset = made.model, made.get("data")
    return config


def _init_args(model: Namespace) -> dict[str, Any]:
    given = model.get("init_args")
    return {} if given is None else given.as_dict()


def _read_data(options: argparse.Namespace, config: Namespace) -> ActiveDataModule:
    data: ActiveDataModule = config.dataset if options.source is None else _source(options)
    if isinstance(data, ImageFolder):
        data.memory = False
    try:
        data.prepare_data()
        data.setup()
    except UserError as error:
        if options.source is None:
            raise
        # the keys of a configuration are options here
        words = str(error).replace(", and data.allow_outside is false", "").replace("data.csv ", "")
        raise type(error)(words.replace("data.root", "SOURCE")) from None
    if line := data.describe():
        say(line)
    return data


def _source(options: argparse.Namespace) -> ActiveDataModule:
    source: Path = options.source
    if is_saved_dataset(source):
        return SavedDataset(str(source), options.image_column, options.label_column)
    if source.suffix.lower() == ".csv":
        return EveryImage(str(options.root or source.parent), csv=str(source))
    return EveryImage(str(source), unlabeled=options.unlabeled)


def _make_model(config: Namespace) -> Encoder:
    try:
        with as_user_error(), isolate_rng():
            torch.manual_seed(0)  # a class without pretrained weights is the same when the command resumes
            model: Encoder = config.make_model(_COLOURS)
    except UserError as error:
        words = str(error).replace(f"{BACKBONE}.", "--model.").replace("model.backbone", "--model")
        raise type(error)(words) from None
    if isinstance(model, Backbone) and _init_args(config.model).get("weights", "") is None:
        raise ConfigError(
            "expected --model.weights to be a file, got none: random weights say nothing about images, so set it, or "
            "choose --model EfficientNetLite0, which brings its own"
        )
    return model


def _preprocessing(options: argparse.Namespace, model: Encoder, name: str) -> Preprocessing:
    given = {key: getattr(options, key) for key in _PREPROCESSING}
    if given["background"] is not None:
        given["background"] = tuple(map(round, given["background"]))
    base = model.preprocessing
    chosen = (base or Preprocessing()).with_options(**given)
    say(f"images: {chosen.describe()}{'' if base else f' ({name} does not say what it expects)'}")
    return chosen


def _plan(options: argparse.Namespace, model: Encoder) -> Plan:
    precision = options.precision
    if not model.uses_autocast:
        precision = "32-true"
    if precision == "auto":
        before = read_manifest(options.out)
        chosen, why = choose_precision(options.accelerator)
        if before is not None:
            chosen, why = str(before.get("precision")), "this folder began with it"
        precision = chosen
        say(f"precision {precision}: {why.partition(';')[0]} (--precision auto)")
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Plan(
        options.batch_size,
        options.rows_per_shard,
        options.dtype,
        BFLOAT16 if precision == BFLOAT16 else "32-true",
        options.num_workers or min(8, cpus),
        options.on_error == "skip",
    )


def _device(accelerator: str) -> torch.device:
    """Return the device of an accelerator, as Lightning names them."""
    available = {"gpu": ("cuda", torch.cuda.is_available()), "mps": ("mps", torch.backends.mps.is_available())}
    for name, (device, is_there) in available.items():
        if is_there and accelerator in ("auto", name):
            return torch.device(device)
        if accelerator == name:
            raise ConfigError(f"expected a device for --accelerator {name}, found none: set it to auto or cpu")
    return torch.device("cpu")
