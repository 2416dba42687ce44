"""Fits that leave the backbone as it is: all the time, or in their first epochs."""

import math
from typing import Literal

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import nn

from msal_lightning.compat import waits_for_all_gradients
from msal_lightning.errors import ConfigError

Freeze = Literal["none", "all"] | int


def frozen_epochs(freeze: Freeze) -> float:
    """Return the number of epochs of ``model.freeze``: 0 for none, infinity for all.

    Raises:
        ValueError: it is another word, or no positive number of epochs.
    """
    if freeze == "none":
        return 0
    if freeze == "all":
        return math.inf
    if isinstance(freeze, str | bool) or freeze < 1:
        raise ValueError(f"expected model.freeze to be none, all or a number of epochs of at least 1, got {freeze}")
    return freeze


class FreezeBackbone(Callback):
    """Freezes a backbone in the first epochs of a fit: no weight changes, and BatchNorm and dropout only evaluate.

    Nothing is stored: the epoch decides, so a fit that resumes freezes and trains the same parameters. The optimizer
    holds the frozen parameters from the start, and skips them because they have no gradient.

    [0] Kumar et al., 2022, Fine-Tuning can Distort Pretrained Features and Underperform Out-of-Distribution (LP-FT),
        arXiv 2202.10054

    Args:
        backbone: its parameters that need gradients are trained later; the others never are.
        epochs: number of epochs, maybe infinity.
    """

    def __init__(self, backbone: nn.Module, epochs: float) -> None:
        self._backbone = backbone
        self._trained = [p for p in backbone.parameters() if p.requires_grad]
        self._epochs = epochs

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Check that processes would agree on the parameters without a gradient.

        Raises:
            ConfigError: DistributedDataParallel would wait for the gradients of the frozen parameters.
        """
        if self._trained and waits_for_all_gradients(trainer):
            raise ConfigError(
                f"expected trainer.strategy ddp_find_unused_parameters_true with model.freeze {self._epochs}, because "
                "some epochs train only a part of the model, got ddp: set it"
            )

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Freeze the backbone, or train it from this epoch on."""
        trained = trainer.current_epoch >= self._epochs
        if not trained:
            self._backbone.eval()
        elif trainer.current_epoch == self._epochs:
            self._backbone.train()
        for parameter in self._trained:
            parameter.requires_grad_(trained)
