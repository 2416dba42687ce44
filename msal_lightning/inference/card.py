"""The card of an exported model: what it knows, what it takes and gives, and how well it does, for each class."""

from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from msal_lightning.data.images.decoding import Decoding
from msal_lightning.inference.formats import FILES, INPUT, OUTPUTS
from msal_lightning.inference.ready import ReadyModel
from msal_lightning.inference.threshold_file import read_threshold
from msal_lightning.paper.methods import last_word
from msal_lightning.runs.classes import class_rows, missing_classes

FORMAT = 1
"""Format number of the JSON file."""
_LIBRARIES = ("msal_lightning", "torch", "torchvision", "lightning", "timm", "onnx", "onnxscript")
_FITS = {
    "crop": "scale the shorter side, and cut out the center",
    "letterbox": "scale the longer side, and fill the rest with the padding",
    "squash": "scale both sides",
}


def make_card(ready: ReadyModel, kind: str, difference: float) -> dict[str, Any]:
    """Return the card as plain JSON values.

    Args:
        ready: the model.
        kind: format of the file.
        difference: largest difference between outputs of the file and of the run's own model.
    """
    trained, config = ready.trained, ready.trained.run.config
    record = trained.run.records[trained.round]
    backbone = type(ready.network.backbone)
    rows = class_rows(trained.run.named_records, trained.round)
    return {
        "format": FORMAT,
        "file": FILES[kind],
        "kind": kind,
        "run": {
            "name": trained.run.folder.absolute().name,
            "round": trained.round,
            "labels": record.num_labeled,
            "data": trained.run.dataset,
            "query": last_word(config.get("query.class_path")),
            "head": ready.model.head_name,
            "backbone": backbone.__name__,
            "backbone_module": backbone.__module__,
            "seed": config.get("seed"),
        },
        "classes": [*ready.class_names],
        "input": _input(ready, kind),
        "preprocessing": None if ready.decoding is None else _preprocessing(ready.decoding),
        "outputs": _outputs(ready, kind),
        "test": {
            "images": record.num_test,
            "metrics": record.metrics,
            "precision": config.get("trainer.precision"),
            "classes": [asdict(row) for row in rows],
            "warnings": missing_classes(trained.run.named_records, trained.round).warnings if rows else [],
        },
        "threshold": read_threshold(trained),
        "largest_difference": difference,
        "versions": {"training": record.environment, "export": _versions()},
    }


def _input(ready: ReadyModel, kind: str) -> dict[str, Any]:
    pixels, channels = ready.decoding, ready.network.num_channels
    scaled_inside = kind != "state-dict"
    shape = ["batch", channels] if pixels is None else ["batch", channels, pixels.size, pixels.size]
    if not scaled_inside and pixels is None:
        shape = ["batch", channels, 1, 1]
    return {
        "name": INPUT,
        "dtype": "uint8" if scaled_inside and pixels is not None else "float32",
        "shape": shape,
        "scaled_inside": scaled_inside,
        "mean": [*ready.data.mean],
        "std": [*ready.data.std],
    }


def _outputs(ready: ReadyModel, kind: str) -> list[dict[str, Any]]:
    classes, width = len(ready.class_names), ready.network.backbone.out_features
    if kind == "state-dict":
        return [{"name": "logits", "dtype": "float32", "shape": ["batch", classes]}]
    widths = zip(OUTPUTS, (classes, width), strict=True)
    return [{"name": name, "dtype": "float32", "shape": ["batch", count]} for name, count in widths]


def _preprocessing(how: Decoding) -> dict[str, Any]:
    return {
        "size": how.size,
        "channels": how.channels,
        "fit": how.fit,
        "fit_means": _FITS[how.fit],
        "resize": how.resize,
        "interpolation": how.interpolation,
        "bands": how.bands,
        "padding": how.padding,
        "background": how.background,
        "value_range": {name: [*values] for name, values in (how.ranges or {}).items()},
    }


def _versions() -> dict[str, str]:
    found = {}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
