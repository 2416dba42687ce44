"""Whether the steps of an epoch can be replays of a CUDA graph."""

from collections.abc import Iterator

import torch
from lightning.pytorch import Trainer
from torch import Tensor

from msal_lightning.data.augmentation import DrawnAugmentation
from msal_lightning.data.base import ActiveDataModule
from msal_lightning.models.classifier import MSALClassifier
from msal_lightning.training.graph_options import why_not_captured

NO_GPU = "the device is no CUDA GPU"
_IN_STEPS = ("loss", "forward", "embed")  # a model's own code may read the epoch or the clock, which a graph repeats


def why_no_graphs(trainer: Trainer, model: MSALClassifier, data: ActiveDataModule, compiled: bool) -> str | None:
    """Return why steps have to be launched kernel by kernel; None if a graph can be tried.

    Args:
        trainer: a Trainer whose fits run whole epochs, on one device.
        model: a model with fresh weights.
        data: data module after ``setup``.
        compiled: whether ``loop.compile`` is set.
    """
    return next(_reasons(trainer, model, data, compiled), None)


def _reasons(trainer: Trainer, model: MSALClassifier, data: ActiveDataModule, compiled: bool) -> Iterator[str]:
    if trainer.strategy.root_device.type != "cuda":
        yield NO_GPU
    if not isinstance(data.images, Tensor):
        yield "images or features are read from files"
    if compiled:
        yield "loop.compile is set"
    for hook in _IN_STEPS:
        if getattr(type(model), hook) is not getattr(MSALClassifier, hook):
            yield f"{type(model).__name__} has its own {hook}"
    if not (data.augmentation is None or isinstance(data.augmentation, DrawnAugmentation)):
        yield f"{type(data.augmentation).__name__} is no DrawnAugmentation"
    made = model.configure_optimizers()
    optimizer: torch.optim.Optimizer = made[0][0] if isinstance(made, tuple) else made
    if why := why_not_captured(optimizer):
        yield why
