"""Weights of a network from a file that may hold more than them: another classifier, a wrapper, a common prefix."""

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from msal_lightning.errors import ConfigError
from msal_lightning.training.checkpoint import load_checked

BACKBONE = "model.backbone.init_args"
"""Where the configuration has the options of a backbone."""
KEY = f"{BACKBONE}.weights"
_WRAPPERS = ("state_dict", "model")
_COUNTERS = "num_batches_tracked"  # files from before torch 0.4.1 have none; only BatchNorm without momentum reads them


def read_weights(path: Path, architecture: str) -> dict[str, Tensor]:
    """Read a state dict; no code in the file is run.

    Args:
        path: a file of torch.save or safetensors. The state dict may be the value of ``state_dict`` or ``model`` in it.
        architecture: name of the network, for messages.

    Raises:
        ConfigError: the file is missing or damaged, holds no state dict, or needs the missing library safetensors.
    """
    remedy = f"give {KEY} the state dict of {architecture}"
    try:
        content = _read(path)
    except FileNotFoundError:
        raise ConfigError(f"expected {KEY} to be a file, found none at '{path}': {remedy}") from None
    except ModuleNotFoundError:
        raise ConfigError(
            f"expected the library safetensors, which reads {KEY} '{path}', found none: "
            "`python -m pip install 'msal_lightning[safetensors]'`, or use a file of torch.save"
        ) from None
    except Exception as error:  # a damaged or foreign file may raise anything
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise ConfigError(f"cannot use '{path}' as weights of {architecture} ({reason:.160}): {remedy}") from None
    for name in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(name), Mapping):
            content = content[name]
    tensors = {str(k): v for k, v in content.items() if isinstance(v, Tensor)} if isinstance(content, Mapping) else {}
    if not tensors:
        raise ConfigError(f"cannot use '{path}' as weights of {architecture} (it holds no state dict): {remedy}")
    return tensors


def load_weights(
    net: nn.Module, weights: Mapping[str, Tensor], path: Path, architecture: str, classifier: tuple[str, ...]
) -> None:
    """Copy weights into a network, except for its classifier.

    All tensors but the classifier's must be there, in the same shapes, and no others. If the first convolution has
    another number of input channels, its filters are averaged over the channels of the file.

    Args:
        net: the network.
        weights: see :func:`read_weights`; all names may have a common beginning, and names without it are ignored.
        path: the file, for messages.
        architecture: name of the network, for messages.
        classifier: dotted names of the modules whose weights do not matter, in the network and in the file.

    Raises:
        ConfigError: the weights belong to another network.
    """
    thrown_away = tuple(f"{name}." for name in classifier)
    wanted = {name: value for name, value in net.state_dict().items() if not name.startswith(thrown_away)}
    prefix = _common_prefix(wanted, weights)
    theirs = {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
    theirs = {k: v for k, v in theirs.items() if not k.startswith(thrown_away)}
    _fit_first_convolution(net, theirs)
    matching = [name for name, value in wanted.items() if name in theirs and theirs[name].shape == value.shape]
    fine = {*matching, *(name for name in wanted if name not in theirs and name.endswith(_COUNTERS))}
    other = [name for name in (*wanted, *theirs) if name not in fine]
    if other:
        raise ConfigError(
            f"expected {KEY} to hold the weights of {architecture}, got {len(matching)} of {len(wanted)} tensors in "
            f"'{path}', and {_difference(other[0], wanted, theirs)}: give it a file of this architecture, or set "
            f"{BACKBONE}.architecture to that of the file"
        )
    net.load_state_dict({name: theirs[name] for name in matching}, strict=False)


def fewer_colours(filters: Tensor, in_channels: int) -> Tensor:
    """Average filters over their colours, scaled so that the layer's output keeps its size.

    Args:
        filters: (out, in, H, W).
        in_channels: the new number of input channels.

    Returns:
        (out, in_channels, H, W).
    """
    scaled = filters.mean(dim=1, keepdim=True) * (filters.shape[1] / in_channels)
    return scaled.repeat(1, in_channels, 1, 1)


def first_convolution(net: nn.Module) -> tuple[str, nn.Conv2d] | None:
    """Return the first convolution of a network and its dotted name; None if it has none."""
    return next(((name, m) for name, m in net.named_modules() if isinstance(m, nn.Conv2d)), None)


def _read(path: Path) -> Any:
    if path.suffix == ".safetensors":
        path.stat()
        from safetensors.torch import load_file

        return load_file(path)
    if zipfile.is_zipfile(path):
        return load_checked(path)
    return torch.load(path, map_location="cpu", weights_only=True)  # the format from before torch 1.6


def _common_prefix(wanted: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> str:
    """Return the beginning of names below which the most wanted tensors are; of equal ones, the shortest."""
    first = next(iter(wanted))
    prefixes = {""} | {key.removesuffix(first) for key in weights if key.endswith(f".{first}")}
    return min(prefixes, key=lambda prefix: (-sum(prefix + name in weights for name in wanted), len(prefix)))


def _fit_first_convolution(net: nn.Module, weights: dict[str, Tensor]) -> None:
    if (found := first_convolution(net)) is None:
        return
    name, ours = f"{found[0]}.weight", found[1].weight
    theirs = weights.get(name)
    if theirs is None or theirs.ndim != 4 or theirs.shape[1] == ours.shape[1]:
        return
    if theirs.shape[0] == ours.shape[0] and theirs.shape[2:] == ours.shape[2:]:
        weights[name] = fewer_colours(theirs, ours.shape[1])


def _difference(name: str, wanted: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> str:
    if name not in wanted:
        return f"{name}, which the network does not have"
    if name not in theirs:
        return f"no {name}"
    return f"{name} of shape {tuple(theirs[name].shape)} instead of {tuple(wanted[name].shape)}"
