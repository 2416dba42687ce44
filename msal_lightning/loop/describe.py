"""Describe a run: its title of a line or two, and its configuration if it was started from Python."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from msal_lightning.data.base import ActiveDataModule
from msal_lightning.data.batches.batch_size import say_batch_size
from msal_lightning.data.places import Place
from msal_lightning.io.wording import counted
from msal_lightning.loop.label_sources import LabelSource
from msal_lightning.runs.config import flatten
from msal_lightning.runs.options import LoopOptions
from msal_lightning.strategies.base import Strategy

_MOST_CLASSES = 12  # up to this number the sizes of all classes are listed


def title(data: ActiveDataModule, labels: LabelSource, seed: int, config: Mapping[str, Any], num_processes: int) -> str:
    """Return data, query, seed, sizes and all else that affects the result, in a line or two."""
    counts = labels.label_counts
    train = (data.labeled_at != Place.LEFT_OUT) & (data.labeled_at != Place.SKIPPED)
    train = train if data.test_only is None else train & ~data.test_only
    tested = f" ({labels.held_out} held out to test on)" if labels.held_out else ""
    lines = [
        f"{data.name}, {labels.title}, seed {seed}: {counts[0]} to {counted(counts[-1], 'label')}{tested} "
        f"in {counted(len(counts), 'round')}, {counted(int(train.sum()), 'training image')}",
        _long_tail(data, train),
        *_batches(data, config, num_processes),
        data.describe(),
        _groups(data),
    ]
    return "\n".join(line for line in lines if line)


def _long_tail(data: ActiveDataModule, train: Tensor) -> str:
    sizes = None if data.imbalance is None else data.hidden_labels.count_classes(train, data.num_classes)
    if sizes is None:
        return ""
    shown = [str(size) for size in sizes]
    if len(shown) > _MOST_CLASSES:
        shown[_MOST_CLASSES // 2 : -_MOST_CLASSES // 2] = ["…"]
    return f"long tail {data.imbalance}: {' '.join(shown)} images per class"


def _groups(data: ActiveDataModule) -> str:
    if data.groups is None:
        return ""
    count, text = len({*data.group_names["train"]}), "{} by data.group to train on"
    if data.test_only is None or len(data.test.label):
        return text.format(counted(count, "group"))
    apart = len(torch.unique(data.groups[data.test_only]))
    return f"{text.format(counted(count - apart, 'group'))}, and {apart:,} that held-out labels come from"


def _batches(data: ActiveDataModule, config: Mapping[str, Any], num_processes: int) -> list[str]:
    lines = []
    if num_processes > 1:
        sync = bool(flatten(config).get("trainer.sync_batchnorm"))
        lines.append(say_batch_size(data.batch_size, data.batch_size_per_device, num_processes, sync))
    if data.last_batch == "keep":
        lines.append("the last batch of an epoch may be small (data.last_batch keep)")
    if data.sampling == "balanced":
        lines.append("an epoch has the same number of images of each class (data.sampling balanced)")
    if data.validation_fraction:
        lines.append(
            f"each fit leaves out {data.validation_fraction:g} of its labels to find its best epoch "
            "(data.validation_fraction)"
        )
    return lines


def from_python(options: LoopOptions, strategy: Strategy, data: ActiveDataModule) -> dict[str, Any]:
    """Return a configuration for a run that was started from Python, enough to distinguish it from other runs."""
    sizes = {name: getattr(options, name) for name in ("initial_size", "query_size", "query_budget")}
    sizes |= {"held_out": options.held_out} if options.held_out else {}
    more: dict[str, Any] = {
        "pool_limit": options.pool_limit,
        "compile": options.compile or None,
        "replay": options.replay,
    }
    more |= {"initial": _describe(options.initial)} if options.initial is not None else {}
    more |= {"initial_features": options.initial_features} if options.initial_features else {}
    more |= {"stop": _describe(options.stop)} if options.stop is not None else {}
    described = {**_describe(data), "imbalance": data.imbalance}
    described["init_args"] |= {"batch_size_per_device": data.batch_size_per_device, "last_batch": data.last_batch}
    if data.sampling != "uniform":
        described["init_args"]["sampling"] = data.sampling
    if data.validation_fraction:
        described["init_args"]["validation_fraction"] = data.validation_fraction
    return {
        "seed": options.seed,
        "loop": {**sizes, **more},
        "query": _describe(strategy),
        "data": described,
        "model": {},
    }


def _describe(component: object) -> dict[str, Any]:
    """Return class and plain options of a strategy or dataset in the form of a configuration."""
    plain = {k: v for k, v in vars(component).items() if isinstance(v, bool | int | float | str) and k[0] != "_"}
    nested = {k: _describe(v) for k, v in vars(component).items() if isinstance(v, Strategy)}
    options = {**plain, **nested} if isinstance(component, Strategy) else {}
    return {"class_path": f"{type(component).__module__}.{type(component).__qualname__}", "init_args": options}
