"""Stop a fit as soon as its loss is NaN or infinite."""

from collections.abc import Mapping
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

_EVERY = 50  # steps between two checks, because each check waits for the device
_NEVER = 2**62


class DivergedError(Exception):
    """The loss became NaN or infinite.

    Args:
        epoch: epoch, from 0.
        step: step of the fit, from 0.
    """

    def __init__(self, epoch: int, step: int) -> None:
        super().__init__(f"the loss became NaN or infinite in epoch {epoch}, step {step}")
        self.epoch = epoch
        self.step = step


class NaNGuard(Callback):
    """Checks the losses every 50 steps and before an epoch's checkpoint is written, on all ranks together."""

    def __init__(self) -> None:
        self._losses: list[Tensor] = []

    def on_train_batch_end(  # noqa: D102
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        loss = outputs["loss"] if isinstance(outputs, Mapping) else outputs
        if isinstance(loss, Tensor):
            self._losses.append(loss.detach())
        if (batch_idx + 1) % _EVERY == 0:
            self._look(trainer, batch_idx)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: D102
        self._look(trainer, int(trainer.num_training_batches) - 1)

    def _look(self, trainer: Trainer, batch_idx: int) -> None:
        first, count = torch.tensor(_NEVER, device=trainer.strategy.root_device), len(self._losses)
        if self._losses:
            bad = (~torch.stack(self._losses).isfinite()).nonzero()[:, 0]
            if len(bad):
                first = trainer.current_epoch * trainer.num_training_batches + batch_idx + 1 - count + bad[0]
        self._losses = []
        step = int(trainer.strategy.reduce(first, reduce_op="min"))
        if step < _NEVER:
            raise DivergedError(step // int(trainer.num_training_batches), step)
