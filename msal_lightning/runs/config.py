"""The flattened configuration of a run, and the keys that may change between two commands."""

from collections.abc import Mapping
from typing import Any

from msal_lightning.runs.options import FREE_KEYS

# Keys that a second command may change, because they do not affect results.
_FREE = (
    "config",
    "overwrite",
    "run_dir",
    "logger",
    "wandb_images",
    "query_executor",
    "query_parts",
    "oracle",  # the labels are in the records
    "data.init_args.root",
    "data.init_args.allow_outside",
    "data.init_args.eval_batch_size",
    "data.init_args.in_memory",
    "data.init_args.num_workers",
    "data.init_args.verify",
    "trainer.detect_anomaly",
    "trainer.enable_autolog_hparams",
    "trainer.inference_mode",
    "trainer.model_registry",
    "trainer.profiler",
    *FREE_KEYS,
)
# These keys may change too if record 0 has a digest of the images in these places.
PLACES = ("data.init_args.test_root", "data.init_args.csv", "data.init_args.labels")


def is_free(key: str) -> bool:
    """Return whether a key may change between two commands because it does not affect results."""
    return key.split(".")[0] in _FREE or key in _FREE


def say_changed(changed: dict[str, tuple[Any, Any]]) -> str:
    """Describe the first few keys in which two configurations differ."""
    shown = "; ".join(f"{key} was {before}, now {now}" for key, (before, now) in list(changed.items())[:3])
    return shown + (f" and {len(changed) - 3} more" if len(changed) > 3 else "")


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Turn a nested configuration into dotted keys: ``{"a": {"b": 1}}`` becomes ``{"a.b": 1}``."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            flat.update(flatten(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat
