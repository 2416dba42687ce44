"""One training step of a model that is then discarded, so that mistakes appear before any label costs money."""

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from lightning.pytorch import Callback
from torch import Generator, Tensor
from torch.optim.lr_scheduler import ReduceLROnPlateau

from msal_lightning.errors import ConfigError
from msal_lightning.models.classifier import MSALClassifier
from msal_lightning.models.freeze import FreezeBackbone
from msal_lightning.training.callback_rules import check_monitor

_MOST_EPOCHS = 10_000  # that a schedule is tried for


def try_model(model: MSALClassifier, image: Sequence[int], max_epochs: int | None, validates: bool = False) -> None:
    """Do one training step, and all steps of the learning rate's schedule.

    The model's weights and BatchNorm statistics change, so it must not be used any more; the global random state is the
    caller's.

    Args:
        model: a model on the CPU.
        image: (C, H, W) of an image.
        max_epochs: number of epochs of each fit; None or -1 if only max_steps is set.
        validates: whether a part of the labeled set is left out to validate on.

    Raises:
        ConfigError: backbone, optimizer or schedule does not work, or the backbone stays frozen.
    """
    if max_epochs and 0 < max_epochs <= model.frozen_epochs < math.inf:
        raise ConfigError(
            f"expected model.freeze to be less than trainer.max_epochs ({max_epochs}), so that the backbone is trained "
            f"at last, got {model.frozen_epochs}: set it to all to train only the head"
        )
    if model.frozen_epochs and not any(isinstance(own, FreezeBackbone) for own in _callbacks(model)):
        raise ConfigError(
            f"expected {type(model).__name__}.configure_callbacks() to give FreezeBackbone because of model.freeze, "
            "got none: add your callbacks to super().configure_callbacks(), or set model.freeze to none"
        )
    images = torch.rand(2, *image, generator=Generator().manual_seed(0)) - 0.5  # two: BatchNorm fails on one
    _check_embeddings(model, images)
    try:
        configured = model.configure_optimizers()
    except (RuntimeError, ValueError, TypeError) as error:
        raise ConfigError(
            f"model.optimizer or model.lr_scheduler cannot be made ({_first_line(error)}): change the named option"
        ) from error
    optimizer, schedulers = (configured[0][0], configured[1]) if isinstance(configured, tuple) else (configured, [])
    if not isinstance(optimizer, torch.optim.Optimizer):
        return  # what a model of your own gives Lightning has more forms
    loss = _step(model, optimizer, images)
    for scheduler in schedulers:
        _try_schedule(scheduler, loss, min(_MOST_EPOCHS, max_epochs or 0), validates)


def _callbacks(model: MSALClassifier) -> Sequence[Callback]:
    made = model.configure_callbacks()
    return [made] if isinstance(made, Callback) else made


def _check_embeddings(model: MSALClassifier, images: Tensor) -> None:
    name, width = type(model.backbone).__name__, model.backbone.out_features
    size = "×".join(map(str, images.shape[1:]))
    try:
        embeddings = model.embed(images)
    except (RuntimeError, ValueError) as error:
        raise ConfigError(
            f"model.backbone {name} fails on images of {size} ({_first_line(error)}): choose a backbone for this size, "
            "or another data.size where the dataset has one"
        ) from error
    got = tuple(embeddings.shape) if isinstance(embeddings, Tensor) else type(embeddings).__name__
    if got != (len(images), width):
        raise ConfigError(
            f"expected model.backbone {name} to map {len(images)} images of {size} to a tensor of shape "
            f"{(len(images), width)}, images × out_features, got {got}: let forward return one vector an image, and "
            "set out_features to its length"
        )


def _step(model: MSALClassifier, optimizer: torch.optim.Optimizer, images: Tensor) -> float:
    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(images), torch.zeros(len(images), dtype=torch.int64))
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    try:
        return optimizer.step(closure).item()  # type: ignore[arg-type, attr-defined, no-any-return]
    except (RuntimeError, ValueError, TypeError) as error:
        raise ConfigError(
            f"model.optimizer {type(optimizer).__name__} cannot train this model ({_first_line(error)}): choose "
            "another, torch.optim.Adam for example"
        ) from error


def _try_schedule(config: Any, loss: float, epochs: int, validates: bool) -> None:
    scheduler = config["scheduler"] if isinstance(config, dict) else config
    name = type(scheduler).__name__
    plateau = isinstance(scheduler, ReduceLROnPlateau)
    if plateau:
        check_monitor(f"model.lr_scheduler {name}", config["monitor"], validates)
    try:
        for _ in range(epochs):
            scheduler.step(*[loss] * plateau)
    except (RuntimeError, ValueError, TypeError, ZeroDivisionError) as error:
        raise ConfigError(
            f"model.lr_scheduler {name} cannot be stepped once in each of {epochs} epochs ({_first_line(error)}): "
            "set its options for trainer.max_epochs, total_steps of OneCycleLR for example"
        ) from error


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__
