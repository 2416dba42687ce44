"""The query: one callback for every strategy."""

from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Generator

from msal_lightning.data.base import ActiveDataModule
from msal_lightning.data.views import Batch
from msal_lightning.errors import UserError
from msal_lightning.pool import OUTPUTS, PoolOutputs
from msal_lightning.selection import RunningSelection, Selection
from msal_lightning.strategies.base import Strategy


class Query(Callback):
    """Rides on ``trainer.predict`` over the pool: scores each batch, keeps the shortlist, then buys labels.

    It asks the model for what the strategy needs and knows no score formula.

    Args:
        strategy: what scores and selects.
        n: how many labels to buy; 0: only look at the pool.
        generator: the round's query stream.

    Attributes:
        selection: what was chosen, best first.
        pool_error: share of the pool that the model got wrong before the query (Fig. 3); None where nobody knows.

    Raises:
        UserError: the strategy needs an output that the model does not give.
    """

    def __init__(self, strategy: Strategy, n: int, generator: Generator) -> None:
        if unknown := strategy.needs - OUTPUTS:
            raise UserError(
                f"{strategy.name}.needs names {', '.join(sorted(unknown))}, but the model gives "
                f"{', '.join(sorted(OUTPUTS))}: correct the strategy's needs"
            )
        self.strategy = strategy
        self.n = n
        self.selection = Selection(torch.empty(0, dtype=torch.int64), None)
        self.pool_error: float | None = None
        self._running = RunningSelection(strategy, n, generator)
        self._seen = 0
        self._wrong: int | None = 0

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Take what the strategy needs off the device, and count errors."""
        index = outputs["index"].cpu()
        if self.n and self.strategy.needs:
            needed = {name: outputs[name].cpu() for name in self.strategy.needs}
            self._running.add(PoolOutputs(index=index, **needed))
        errors = _data(trainer).oracle.count_errors(index, outputs["logits"].argmax(dim=1).cpu())
        self._seen += len(index)
        self._wrong = None if self._wrong is None or errors is None else self._wrong + errors

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Select and buy."""
        if self._seen and self._wrong is not None:
            self.pool_error = self._wrong / self._seen
        if self.n and self.strategy.needs:
            self._buy(_data(trainer))

    def without_pool_pass(self, data: ActiveDataModule) -> None:
        """Select and buy for a strategy that needs no outputs: no forward pass at all.

        Args:
            data: owns the pool.
        """
        self._running.add(PoolOutputs(index=data.pool))
        self._buy(data)

    def _buy(self, data: ActiveDataModule) -> None:
        self.selection = self._running.finish()
        data.label(self.selection.index)


def _data(trainer: Trainer) -> ActiveDataModule:
    data = getattr(trainer, "datamodule", None)
    if not isinstance(data, ActiveDataModule):
        raise TypeError("Query needs trainer.predict(model, datamodule=...) with an ActiveDataModule")
    return data
