"""The formats of ``export``: each writes a network to one file, and opens it again to compare."""

import copy
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor

from msal_lightning.errors import ConfigError
from msal_lightning.inference.network import ReadyNetwork
from msal_lightning.inference.ready import ReadyModel
from msal_lightning.models import build_options
from msal_lightning.models.classifier import MSALClassifier

Run = Callable[[Tensor], list[Tensor]]
"""From a batch to probabilities and embeddings."""
FILES = {"torch-export": "model.pt2", "onnx": "model.onnx", "state-dict": "model.ckpt"}
INPUT, OUTPUTS = "images", ("probabilities", "embeddings")
_LIBRARIES = ("onnx", "onnxscript", "onnxruntime")


def check_libraries(kind: str) -> None:
    """Refuse a format whose libraries are missing.

    Raises:
        ConfigError: they are.
    """
    missing = [name for name in _LIBRARIES if find_spec(name) is None]
    if kind == "onnx" and missing:
        raise ConfigError(
            f"expected the libraries of --format onnx, found no {' and no '.join(missing)}: "
            "`python -m pip install 'msal_lightning[onnx]'`, or use --format torch-export"
        )


def example(ready: ReadyModel, count: int) -> Tensor:
    """Return random input: (count, C, H, W) uint8, or (count, D) float32 of a run on features."""
    draws, channels = torch.Generator().manual_seed(0), ready.network.num_channels
    if ready.decoding is None:
        mean, std = ready.network.mean.flatten(), ready.network.std.flatten()
        return mean + std * torch.randn((count, channels), generator=draws)
    side = ready.decoding.size
    return torch.randint(0, 256, (count, channels, side, side), generator=draws, dtype=torch.uint8)


def write(ready: ReadyModel, kind: str, file: Path) -> Run:
    """Write the network of a run.

    Args:
        ready: the model.
        kind: a key of :data:`FILES`.
        file: the file, which does not exist.

    Returns:
        A function that computes with the file.

    Raises:
        ConfigError: the network cannot be written in this format.
    """
    if kind == "state-dict":
        return _write_state_dict(ready, file)
    try:
        with _quiet():
            return (_write_onnx if kind == "onnx" else _write_torch_export)(ready, file)
    except Exception as error:  # of torch's tracing, which may be anything
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ConfigError(
            f"cannot export {type(ready.network.backbone).__name__} as {kind} ({reason:.200}): use --format "
            "state-dict, or rewrite its forward"
        ) from error


def _dense(network: ReadyNetwork) -> ReadyNetwork:
    """Return a copy with weights in the usual order in memory, which files expect."""
    return copy.deepcopy(network).to(memory_format=torch.contiguous_format)


def _write_torch_export(ready: ReadyModel, file: Path) -> Run:
    shapes = {INPUT: {0: torch.export.Dim("batch")}}
    program = torch.export.export(_dense(ready.network), (example(ready, 2),), dynamic_shapes=shapes, strict=False)
    torch.export.save(program, file)
    opened = torch.export.load(file).module()
    return lambda images: list(opened(images))


def _write_onnx(ready: ReadyModel, file: Path) -> Run:
    import onnxruntime

    program = torch.onnx.export(
        _dense(ready.network),
        (example(ready, 2),),
        dynamo=True,
        dynamic_shapes={INPUT: {0: torch.export.Dim("batch")}},
        input_names=[INPUT],
        output_names=list(OUTPUTS),
        verbose=False,
    )
    assert program is not None
    program.save(str(file))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    return lambda images: [torch.from_numpy(found) for found in session.run(list(OUTPUTS), {INPUT: images.numpy()})]


def _write_state_dict(ready: ReadyModel, file: Path) -> Run:
    options, data = ready.model.build_options, ready.data
    if options is None:
        raise ConfigError(
            f"expected a backbone whose options are plain values, got {type(ready.network.backbone).__name__}, "
            "whose file could not be opened: use --format torch-export"
        )
    content = {
        "pytorch-lightning_version": version("lightning"),
        "state_dict": ready.model.state_dict(),
        build_options.KEY: options,
        "class_names": [*ready.class_names],
        "mean": [*data.mean],
        "std": [*data.std],
    }
    torch.save(content, file)
    opened = MSALClassifier.load_from_checkpoint(file, map_location="cpu")
    network = ReadyNetwork(opened, data.mean, data.std, ready.network.pixels)
    return lambda images: list(network(images))


@contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's, about its own internals
        yield
