"""What an embedding is made of: the part of the manifest that a resumed run must share."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from msal_lightning.data.features.manifest import FORMAT, MANIFEST
from msal_lightning.data.images.preprocessing import Preprocessing
from msal_lightning.errors import ConfigError

_LIBRARIES = ("msal_lightning", "torch", "torchvision", "pillow", "numpy", "timm", "onnxruntime")
_FILES = ("weights", "file", "repo")  # options that name files, known by their content
_OPTIONS = {"model.class_path": "--model"}
_DIGESTS = {"model.digest": "the weights of --model", "source.labels": "the labels of the images"}
_FREE = {"finished", "rows", "skipped", "device", "source.images", "source.root", "source.name"}
_FREE_GROUPS = ("shards.", "versions.")


@dataclass(frozen=True)
class Plan:
    """How the features are computed.

    Attributes:
        batch_size: images a step; the bytes of the features may depend on it.
        rows_per_shard: images of a file.
        dtype: float16 or float32.
        precision: 32-true or bf16-mixed.
        workers: threads that decode.
        skips: whether images that cannot be read are left out, instead of ending the command.
    """

    batch_size: int = 64
    rows_per_shard: int = 65_536
    dtype: str = "float16"
    precision: str = "32-true"
    workers: int = 1
    skips: bool = True

    def shards(self, count: int) -> dict[str, int]:
        """Return the names of the files of some images, each with its number of images."""
        number = -(-count // self.rows_per_shard)
        digits = max(3, len(str(number - 1)))  # their names sort like their numbers
        sizes = [min(self.rows_per_shard, count - k * self.rows_per_shard) for k in range(number)]
        return {f"features-{k:0{digits}d}.npy": size for k, size in enumerate(sizes)}


def make_manifest(
    plan: Plan,
    model: Mapping[str, Any],
    preprocessing: Preprocessing,
    ranges: Mapping[str, Any],
    source: Mapping[str, Any],
    device: str,
) -> dict[str, Any]:
    """Return the manifest of a folder that is not finished, as plain JSON values.

    Args:
        plan: how the features are computed.
        model: class_path, init_args, digest of the weights, and dimension.
        preprocessing: how the images become its input.
        ranges: values of black and white in files of more than 8 bits, by type.
        source: name and root of the dataset, number of its images, digests of images and labels.
        device: where the model runs.
    """
    made = {
        "format": FORMAT,
        "finished": False,
        "source": source,
        "model": model,
        "preprocessing": {**asdict(preprocessing), "value_range": ranges},
        **{key: getattr(plan, key) for key in ("dtype", "precision", "batch_size", "rows_per_shard")},
        "shards": plan.shards(source["images"]),
        "device": device,
        "versions": {name: found for name in _LIBRARIES if (found := _version(name))},
    }
    plain: dict[str, Any] = json.loads(json.dumps(made))
    return plain


def check_same(before: Mapping[str, Any], now: Mapping[str, Any], out: Path) -> None:
    """Compare the manifest of a folder with the one that this command would write.

    Raises:
        ConfigError: the folder was begun with another model or other options.
    """
    old, new = _flat(before), _flat(now)
    for key in dict.fromkeys((*old, *new)):
        free = key in _FREE or key.startswith(_FREE_GROUPS) or key.rpartition(".")[2] in _FILES
        if free or old.get(key) == new.get(key):
            continue
        if key in _DIGESTS:
            raise ConfigError(
                f"expected {_DIGESTS[key]} to be those with which '{out}' was begun, got others: bring them back, or "
                "set --out to another folder"
            )
        option = _OPTIONS.get(key) or "--" + key.removeprefix("preprocessing.").replace("init_args.", "")
        raise ConfigError(
            f"expected {option} to be {old.get(key)}, as in '{out / MANIFEST}', got {new.get(key)}: set it back, or "
            "set --out to another folder"
        )


def machine_change(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Return the first difference in device and libraries, which may change the last digits; empty if there is none."""
    old, new = ({"device": one["device"], **one["versions"]} for one in (before, now))
    changed = (name for name in {**old, **new} if old.get(name) != new.get(name))
    name = next(changed, "")
    return f"{name} {old.get(name)} instead of {new.get(name)}" if name else ""


def _flat(values: Mapping[str, Any], key: str = "") -> dict[str, Any]:
    found = dict[str, Any]()
    for name, value in values.items():
        inner = f"{key}.{name}".lstrip(".")
        found |= _flat(value, inner) if isinstance(value, Mapping) else {inner: value}
    return found


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
