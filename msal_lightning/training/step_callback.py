"""Callbacks that act after each optimizer step, whether Lightning runs a step at a time or an epoch at a time."""

from abc import abstractmethod
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from msal_lightning.training.whole_epochs import EpochIndices, WholeEpochs


class StepCallback(Callback):
    """A callback with a hook after each optimizer step."""

    @abstractmethod
    def on_step_end(self, trainer: Trainer, loss: Tensor | None, step: int) -> None:
        """Act after a step.

        Args:
            trainer: the round's Trainer.
            loss: scalar on the device, detached; None if a model of the user's gave none.
            step: number of the step in its epoch, from 0.
        """

    def on_train_batch_end(  # noqa: D102
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if not isinstance(batch, EpochIndices):  # whose steps have called the hook
            self.on_step_end(trainer, outputs.get("loss"), batch_idx)


def steps_per_epoch(trainer: Trainer) -> int:
    """Return the number of optimizer steps of an epoch."""
    sampler = getattr(trainer.train_dataloader, "sampler", None)
    return sampler.num_steps if isinstance(sampler, WholeEpochs) else int(trainer.num_training_batches)
