"""The weights of the epoch with the lowest validation loss."""

import math
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from msal_lightning.training.callback_rules import VALIDATION_LOSS


class BestEpoch(Callback):
    """Gives the model back the weights with the lowest validation loss when its fit ends.

    Without a validation part it does nothing. Its state is in the checkpoint, so a resumed fit chooses the same epoch.
    """

    def __init__(self) -> None:
        self._lowest = math.inf
        self._weights: dict[str, Tensor] = {}

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep the weights if they are the best so far."""
        loss = float(trainer.callback_metrics.get(VALIDATION_LOSS, math.inf))
        if not trainer.sanity_checking and loss < self._lowest:
            self._lowest = loss
            self._weights = {name: value.detach().clone() for name, value in pl_module.state_dict().items()}

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Load the best weights."""
        if self._weights:
            pl_module.load_state_dict(self._weights)

    def state_dict(self) -> dict[str, Any]:  # noqa: D102
        return {"lowest": self._lowest, "weights": self._weights} if self._weights else {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:  # noqa: D102
        self._lowest, self._weights = state_dict["lowest"], state_dict["weights"]
