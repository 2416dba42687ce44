"""Stop a fit as soon as its loss is NaN or infinite."""

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from msal_lightning.training.step_callback import StepCallback, steps_per_epoch

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


class NaNGuard(StepCallback):
    """Checks the losses every 50 steps and before an epoch's checkpoint is written, on all ranks together."""

    def __init__(self) -> None:
        self._losses: list[Tensor] = []
        self._end = 0  # steps of this epoch so far

    def on_step_end(self, trainer: Trainer, loss: Tensor | None, step: int) -> None:  # noqa: D102
        if loss is not None:
            self._losses.append(loss)
        self._end = step + 1
        if self._end % _EVERY == 0:
            self._look(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: D102
        self._look(trainer)

    def _look(self, trainer: Trainer) -> None:
        first, per_epoch = torch.tensor(_NEVER, device=trainer.strategy.root_device), steps_per_epoch(trainer)
        if self._losses:
            bad = (~torch.stack(self._losses).isfinite()).nonzero()[:, 0]
            if len(bad):
                first = trainer.current_epoch * per_epoch + self._end - len(self._losses) + bad[0]
        self._losses = []
        step = int(trainer.strategy.reduce(first, reduce_op="min"))
        if step < _NEVER:
            raise DivergedError(step // per_epoch, step)
