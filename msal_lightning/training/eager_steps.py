"""All optimizer steps of an epoch within one Lightning batch.

Lightning's loop and hooks take 1 to 2 ms for each batch, longer than the step of a small network.
"""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from msal_lightning.compat import count_steps
from msal_lightning.training.step_callback import StepCallback
from msal_lightning.training.whole_epochs import EpochIndices


class EagerSteps:
    """Runs the steps of an epoch in a plain loop, on any device; the results equal those of Lightning's own loop.

    Args:
        batch_of: makes the batch of (B,) int64 indices, on the device, as the model gets it.
    """

    def __init__(self, batch_of: Callable[[Tensor], Any]) -> None:
        self._batch_of = batch_of

    def run(self, model: LightningModule, epoch: EpochIndices) -> None:
        """Run the steps of an epoch, log ``train_loss``, and step the schedules of the learning rate.

        Args:
            model: a model whose ``automatic_optimization`` is off, within its ``training_step``.
            epoch: the batches; ``trainer.max_steps`` may leave some of them out.
        """
        trainer = model.trainer
        (optimizer,) = trainer.optimizers
        watching = [callback for callback in trainer.callbacks if isinstance(callback, StepCallback)]  # type: ignore[attr-defined]
        left = None if trainer.max_steps == -1 else trainer.max_steps - trainer.global_step
        batches = epoch.batches[:left]
        total = torch.zeros((), device=model.device)
        # Lightning calls training_step within the forward pass's autocast, which must end before the backward pass
        with torch.autocast(model.device.type, enabled=False):
            losses = self.losses(model, optimizer, batches)
            for number, (index, loss) in enumerate(zip(batches, losses, strict=True)):
                total += loss * len(index)
                for callback in watching:
                    callback.on_step_end(trainer, loss, number)
        count = torch.tensor(sum(map(len, batches)), device=model.device)
        model.log("train_loss", total / count, on_step=False, on_epoch=True, batch_size=1)
        count_steps(trainer, len(batches))
        if len(batches) == len(epoch.batches):
            for config in trainer.lr_scheduler_configs:
                if (trainer.current_epoch + 1) % config.frequency == 0:
                    model.lr_scheduler_step(config.scheduler, None)

    def losses(
        self, model: LightningModule, optimizer: torch.optim.Optimizer, batches: list[Tensor]
    ) -> Iterator[Tensor]:
        """Take one step after the other.

        Args:
            model: see :meth:`run`.
            optimizer: its optimizer.
            batches: (B,) int64 indices of each step, on the host.

        Yields:
            The loss before each step, a scalar on the device, detached.
        """
        for index in batches:
            yield self.step(model, optimizer, self._batch_of(index))

    @staticmethod
    def step(model: LightningModule, optimizer: torch.optim.Optimizer, batch: Any) -> Tensor:
        """Take one step on a batch; returns the loss before it, detached."""
        precision = model.trainer.precision_plugin

        def closure() -> Tensor:
            with precision.train_step_context():
                loss: Tensor = model.loss(batch)  # type: ignore[operator]
            torch.clear_autocast_cache()  # it would keep the weights of before this step, in bfloat16
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            return loss.detach()

        return optimizer.step(closure)  # type: ignore[arg-type, return-value]

    def close(self) -> None:
        """Release what belongs to one fit."""
