"""Learning rates of a backbone that differ from the head's, and from layer to layer."""

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from msal_lightning.errors import ConfigError

_LISTS = (nn.Sequential, nn.ModuleList)


class LearningRates:
    """Divides parameters into groups, and gives each group its learning rate. A schedule scales all of them.

    Layer-wise decay: [0] Howard and Ruder, 2018, Universal Language Model Fine-tuning for Text Classification (ULMFiT),
        section 3.2, arXiv 1801.06146

    Args:
        backbone_lr: learning rate of the backbone; None: that of the optimizer.
        layer_decay: each layer of the backbone has this share of the rate of the layer above it; None: the same rate.

    Raises:
        ValueError: a value is out of range.
    """

    def __init__(self, backbone_lr: float | None = None, layer_decay: float | None = None) -> None:
        if backbone_lr is not None and not 0 < backbone_lr < math.inf:
            raise ValueError(f"expected model.backbone_lr to be above 0, got {backbone_lr}: 0.0001 is usual")
        if layer_decay is not None and not 0 < layer_decay <= 1:
            raise ValueError(
                f"expected model.layer_decay to be above 0 and at most 1, got {layer_decay}: 0.75 is usual"
            )
        self._backbone_lr = backbone_lr
        self._layer_decay = layer_decay
        self.differ = backbone_lr is not None or layer_decay is not None
        self._rates: set[float] = set()

    def groups(self, model: nn.Module, backbone: nn.Module) -> list[Any]:
        """Return the trainable parameters for an optimizer.

        Args:
            model: the whole model.
            backbone: a part of it.

        Returns:
            A list of parameters; if rates differ, groups: the rest of the model, then the backbone or its layers, the
            last layer first.
        """
        if not self.differ:
            return [p for p in model.parameters() if p.requires_grad]
        inside = {id(p) for p in backbone.parameters()}
        rest = [p for p in model.parameters() if id(p) not in inside]
        parts = [list(backbone.parameters())] if self._layer_decay is None else layers(backbone)[::-1]
        return [{"params": [p for p in part if p.requires_grad]} for part in [rest, *parts]]

    def set(self, optimizer: torch.optim.Optimizer) -> None:
        """Set the rates of an optimizer over :meth:`groups`, before a schedule is made.

        Raises:
            ConfigError: the optimizer has no learning rate.
        """
        if not self.differ:
            return
        first, *others = optimizer.param_groups
        if "lr" not in first:
            raise ConfigError(
                f"expected an optimizer with a learning rate for model.backbone_lr and model.layer_decay, got "
                f"{type(optimizer).__name__}: leave both out"
            )
        top = first["lr"] if self._backbone_lr is None else self._backbone_lr
        for below, group in enumerate(others):
            group["lr"] = top * (self._layer_decay or 1.0) ** below
        self._rates = {float(group["lr"]) for group in optimizer.param_groups}

    def check(self, optimizer: torch.optim.Optimizer, schedule: object) -> None:
        """Reject a schedule that gives all groups the same rate.

        Args:
            optimizer: the optimizer of the schedule.
            schedule: was made just now.

        Raises:
            ConfigError: the rates of the groups are equal.
        """
        rates = {float(group.get("initial_lr", group["lr"])) for group in optimizer.param_groups}
        if len(self._rates) > 1 and len(rates) == 1:
            raise ConfigError(
                f"model.lr_scheduler {type(schedule).__name__} sets the learning rates itself, so that "
                "model.backbone_lr and model.layer_decay have no effect: leave both out, or choose a schedule that "
                "scales, CosineAnnealingLR for example"
            )


def layers(backbone: nn.Module) -> list[list[nn.Parameter]]:
    """Return the parameters of each layer, from the input to the output.

    A layer is a block of a list of blocks, or a module beside such lists. A module with vectors only, as BatchNorm,
    belongs to the layer before it, and parameters of the network itself, as position embeddings, to the first layer.

    Args:
        backbone: a network.
    """
    net = backbone
    while len(children := _with_weights(net)) == 1:
        (net,) = children
    found: list[list[nn.Parameter]] = [[]]
    for part in _parts(net) if children else [net]:
        parameters = list(part.parameters())
        if found[-1] and any(p.ndim > 1 for p in parameters):
            found.append([])
        found[-1] += parameters
    known = {id(p) for layer in found for p in layer}
    found[0] += [p for p in backbone.parameters() if id(p) not in known]
    return found


def _parts(net: nn.Module) -> Iterator[nn.Module]:
    for child in _with_weights(net):
        is_encoder = any(isinstance(inner, _LISTS) for inner in child.children())  # it has a list of blocks
        yield from _blocks(child) if is_encoder or isinstance(child, _LISTS) else [child]


def _blocks(module: nn.Module) -> Iterator[nn.Module]:
    for child in _with_weights(module):
        yield from _blocks(child) if isinstance(child, _LISTS) else [child]


def _with_weights(module: nn.Module) -> list[nn.Module]:
    return [child for child in module.children() if next(child.parameters(), None) is not None]
