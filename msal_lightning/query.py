"""The query: one callback for every strategy."""

from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from msal_lightning.data.base import ActiveDataModule
from msal_lightning.data.views import Batch
from msal_lightning.errors import UserError
from msal_lightning.module import MSALClassifier
from msal_lightning.pool import OUTPUTS, PoolOutputs
from msal_lightning.ranks import Ranks
from msal_lightning.selection import Held, RunningSelection, Selection
from msal_lightning.strategies.base import Strategy
from msal_lightning.streams import stream
from msal_lightning.transfer import Transfer

_PREDICTED = "predicted"
_Part = tuple[Held, list[PoolOutputs], int, int | None]  # of a process: pool, labeled set, images seen, errors


class Query(Callback):
    """Rides on ``trainer.predict`` over the pool: scores each batch, keeps the shortlist; :meth:`buy` ends the query.

    It asks the model for what the strategy needs and knows no score formula.

    Args:
        strategy: what scores and selects.
        n: how many labels to buy; 0: only look at the pool.
        seed: the run's seed; keys the query and the dropout stream.
        round: k, the round whose model is asked.

    Attributes:
        selection: what was chosen, best first.
        pool_error: share of the pool that the model got wrong before the query (Fig. 3); None where nobody knows.
        seen: images of the pool that the model looked at.
        wrong_pseudo_labels: how many pseudo-labels are wrong; None where there are none or nobody knows.

    Raises:
        UserError: the strategy needs an output that the model does not give.
    """

    def __init__(self, strategy: Strategy, n: int, seed: int, round: int) -> None:
        check_needs(strategy)
        self.strategy = strategy
        self.n = n
        self.round = round
        self.selection = Selection(torch.empty(0, dtype=torch.int64), None)
        self.pool_error: float | None = None
        self.wrong_pseudo_labels: int | None = None
        self._key = seed, round
        self._running = RunningSelection(strategy, n, stream(seed, "query", round), round)
        self._labeled: list[PoolOutputs] = []
        self._coming: list[tuple[Transfer, int]] = []
        self.seen = 0
        self._wrong: int | None = 0

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Before the loaders are made: ask for the labeled set where the strategy wants it."""
        if stage == "predict":
            _data(trainer).predict_labeled = bool(self.n) and self.strategy.needs_labeled

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Turn on the passes with dropout that the strategy wants."""
        if self.n:
            self.prepare(_model(pl_module))

    def prepare(self, model: MSALClassifier) -> None:
        """Ask a model for the passes with dropout that the strategy wants.

        Raises:
            UserError: the model has no dropout.
        """
        seed, round = self._key
        passes = range(self.strategy.mc_samples)
        generators = [stream(seed, "dropout", round, t) for t in passes]
        model.draw_dropout_masks(generators, self.strategy.shared_masks)

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Take what the strategy needs off the device; look at what the batch before gave, which is there by now."""
        needed = {name: outputs[name] for name in ("index", *(self.strategy.needs if self.n else ()))}
        predicted = outputs["logits"].argmax(dim=1)
        self._coming.append((Transfer({**needed, _PREDICTED: predicted}), dataloader_idx))
        if len(self._coming) > 1:
            self._take(_data(trainer))

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look at the last batch, and turn the passes with dropout off."""
        while self._coming:
            self._take(_data(trainer))
        _model(pl_module).draw_dropout_masks([])

    def _take(self, data: ActiveDataModule) -> None:
        """Score a batch, keep what may be selected, and count errors."""
        transfer, dataloader_idx = self._coming.pop(0)
        outputs = transfer.wait()
        predicted = outputs.pop(_PREDICTED)
        needed = PoolOutputs(**outputs)
        if dataloader_idx:
            self._labeled.append(needed)
            return
        if self.n and self.strategy.needs:
            self._running.add(needed)
        errors = data.truth.count_errors(needed.index, predicted)
        self.seen += len(needed)
        self._wrong = None if self._wrong is None or errors is None else self._wrong + errors

    def buy(self, data: ActiveDataModule, ranks: Ranks | None = None) -> None:
        """After the pool pass: :meth:`choose`, then buy labels that came with the images.

        Args:
            data: owns the pool.
            ranks: the processes that shared the pool pass; this one alone by default.

        Raises:
            UserError: outputs that are not finite.
        """
        self.choose(data, ranks)
        if not self.n:
            return
        data.label(self.selection.index)
        self.set_pseudo_labels(data)

    def choose(self, data: ActiveDataModule, ranks: Ranks | None = None) -> None:
        """After the pool pass: merge what the processes saw, and select on rank 0; no label is bought.

        A strategy that needs no outputs of the model needs no pool pass either.

        Args:
            data: owns the pool.
            ranks: the processes that shared the pool pass; this one alone by default.

        Raises:
            UserError: outputs that are not finite.
        """
        ranks = ranks or Ranks()
        if self.n and not self.strategy.needs and ranks.is_zero:
            self._running.add(PoolOutputs(index=data.pool))
        held = Held([], []) if ranks.is_zero else self._running.held()
        parts = ranks.gather((held, self._labeled, self.seen, self._wrong))
        self._labeled = []
        self.selection, self.seen, self._wrong = ranks.on_zero(lambda: self._select(parts))
        if self.seen and self._wrong is not None:
            self.pool_error = self._wrong / self.seen

    def set_pseudo_labels(self, data: ActiveDataModule) -> None:
        """Let the next fit train on what the strategy is sure of; what was bought is left out."""
        if self.selection.pseudo_labels is None:
            data.clear_pseudo_labels()
        else:
            data.set_pseudo_labels(*self.selection.pseudo_labels)
            self.wrong_pseudo_labels = data.truth.count_errors(*self.selection.pseudo_labels)

    def _select(self, parts: list[_Part]) -> tuple[Selection, int, int | None]:
        labeled: list[PoolOutputs] = []
        total, wrong = 0, list[int | None]()
        while parts:  # emptied, so that no row lies here twice
            held, outputs, seen, errors = parts.pop()
            self._running.merge(held)
            labeled += outputs
            total += seen
            wrong.append(errors)
        selection = self._running.finish(PoolOutputs.cat(labeled) if labeled else None)
        return selection, total, None if None in wrong else sum(count or 0 for count in wrong)


def check_needs(strategy: Strategy) -> None:
    """Refuse a strategy that asks for what the model does not give.

    Raises:
        UserError: what it should say instead.
    """
    if unknown := strategy.needs - OUTPUTS:
        raise UserError(
            f"{strategy.name}.needs names {', '.join(sorted(unknown))}, but the model gives "
            f"{', '.join(sorted(OUTPUTS))}: correct the strategy's needs"
        )
    if ("mc_logits" in strategy.needs) != (strategy.mc_samples > 0):
        raise UserError(
            f"{strategy.name}.needs and mc_samples disagree, got needs {', '.join(sorted(strategy.needs))} and "
            f"mc_samples {strategy.mc_samples}: name mc_logits and a number of passes, or neither"
        )


def _data(trainer: Trainer) -> ActiveDataModule:
    data = getattr(trainer, "datamodule", None)
    if not isinstance(data, ActiveDataModule):
        raise TypeError("Query needs trainer.predict(model, datamodule=...) with an ActiveDataModule")
    return data


def _model(module: LightningModule) -> MSALClassifier:
    if not isinstance(module, MSALClassifier):
        raise TypeError(f"Query needs an MSALClassifier, got {type(module).__name__}")
    return module
