"""The query: one callback for every strategy."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from msal_lightning.data.base import ActiveDataModule
from msal_lightning.data.batches.loading import Batch
from msal_lightning.errors import ConfigError
from msal_lightning.io.kill_points import kill_point
from msal_lightning.query.output_blocks import Block, OutputBlocks
from msal_lightning.query.shortlist import Selection, ShardShortlist, StreamingShortlist
from msal_lightning.query.stored_embeddings import stored_embeddings
from msal_lightning.seeding import stream
from msal_lightning.strategies.base import Strategy
from msal_lightning.strategies.outputs import OUTPUTS, PoolOutputs
from msal_lightning.training.distributed import Ranks

_PREDICTED = "predicted"

Receive = Callable[[Selection, ActiveDataModule], None]
"""Receives a selection at the end of a query and labels it or requests its labels."""


def label_selection(selection: Selection, data: ActiveDataModule) -> None:
    """Label a selection with the labels that came with the data: its indices move to the labeled set.

    Args:
        selection: result of a query; its pseudo-labels, if any, replace the former ones.
        data: owns the pool.
    """
    kill_point("label the selection")
    data.label(selection.index)
    kill_point("set pseudo-labels")
    if selection.pseudo_labels is None:
        data.split.clear_pseudo_labels()
    else:
        data.split.set_pseudo_labels(*selection.pseudo_labels)


def leave_in_pool(selection: Selection, data: ActiveDataModule) -> None:
    """Move nothing at the end of a query; whoever made it reads ``query.selection``.

    Args:
        selection: result of the query.
        data: owns the pool.
    """


class PoolPart(NamedTuple):
    """What a process found in its part of the pool, to be sent to the process that selects.

    Attributes:
        shortlist: candidates of the part.
        labeled: outputs of the part of the labeled set, if the strategy needs them.
        seen: number of pool images.
        wrong: number of pool images that the model got wrong; None if labels are unknown.
    """

    shortlist: ShardShortlist
    labeled: list[PoolOutputs]
    seen: int
    wrong: int | None


class Query(Callback):
    """Scores the pool during ``trainer.predict``, then selects the images to label.

    The callback works with any LightningModule on an :class:`ActiveDataModule`::

        query = Query(Entropy(), n=100)
        Trainer(callbacks=[query]).predict(model, datamodule=data, return_predictions=False)

    ``predict_step`` must return a mapping with the logits (B, C) and the outputs in ``strategy.needs``, see
    :class:`~msal_lightning.strategies.outputs.PoolOutputs`. A tensor counts as the logits. On several devices set
    ``Trainer(use_distributed_sampler=False)``, because the data module divides the pool itself.

    Args:
        strategy: scores and selects.
        n: number of images to select; 0 only makes the pool pass.
        seed: seed of the run, for the strategy's random draws and dropout masks.
        round: k, number of the round, for the same draws.
        receive: called on every process with the selection, when the pass has ended. By default the labels that came
            with the data are used, and the indices move.
        ranks: processes that share the query; by default those of the Trainer, or this one alone without a pass.

    Attributes:
        selection: the selected images, best first.
        pool_error: error rate of the model on the pool before the query (Fig. 3); None if labels are unknown.
        seen: number of pool images that the model scored.
        wrong_pseudo_labels: number of wrong pseudo-labels; None without pseudo-labels, or if labels are unknown.

    Raises:
        ConfigError: the strategy needs an output that no model provides.
    """

    def __init__(
        self,
        strategy: Strategy,
        n: int,
        seed: int = 0,
        round: int = 0,
        receive: Receive = label_selection,
        ranks: Ranks | None = None,
    ) -> None:
        check_needs(strategy)
        self.strategy = strategy
        self.n = n
        self.round = round
        self.selection = Selection(torch.empty(0, dtype=torch.int64), None)
        self.pool_error: float | None = None
        self.wrong_pseudo_labels: int | None = None
        self.seen = 0
        self._key = seed, round
        self._receive = receive
        self._ranks = ranks
        self._running = self._new_shortlist()
        self._labeled: list[PoolOutputs] = []
        self._blocks = OutputBlocks()
        self._wrong: int | None = 0

    def select_nothing(self) -> None:
        """Only make the pool pass, as with ``n=0``; call it before the pass."""
        self.n = 0
        self._running = self._new_shortlist()

    def _new_shortlist(self) -> StreamingShortlist:
        return StreamingShortlist(self.strategy, self.n, stream(self._key[0], "query", self.round), self.round)

    def select_without_pass(self, data: ActiveDataModule) -> None:
        """Select with a strategy that needs no outputs of a model, such as Random, without a pool pass.

        Args:
            data: owns the pool.

        Raises:
            ValueError: the strategy needs outputs of a model.
        """
        if self.strategy.needs:
            raise ValueError(f"{self.strategy.name} needs a pool pass: use the Query as a callback of trainer.predict")
        self._end(data, self._ranks or Ranks())

    def use_head(self, model: LightningModule) -> None:
        """Let the strategy call the head of a model, if it needs it.

        Args:
            model: has a ``head`` from embeddings to logits, as :class:`~msal_lightning.MSALClassifier` does.

        Raises:
            ConfigError: the model has no head.
        """
        if not self.strategy.needs_head:
            return
        head = getattr(model, "head", None)
        if not callable(head):
            raise ConfigError(
                f"expected {type(model).__name__} to have a head, from embeddings to logits, for query "
                f"{self.strategy.name}, got none: add it, or choose a query that needs less"
            )
        self._running.head = lambda embeddings: head(embeddings.to(model.device)).float().cpu()

    def select_from(self, parts: list[PoolPart], data: ActiveDataModule) -> None:
        """Select from the parts of a pass that ran elsewhere, see :class:`PartOfQuery`.

        Args:
            parts: those of the whole pool, in any order; the list is emptied.
            data: owns the pool.

        Raises:
            ConfigError: images are missing.
        """
        self._running.groups = data.groups
        self._conclude(data, *self._select(parts, data.num_scored))

    # ---------------------------------------------------------------- hooks

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Request a loader of the labeled set if the strategy needs it, before the loaders are made."""
        if stage == "predict":
            check_groups(self.strategy, _data(trainer))
            _data(trainer).enter(predict_labeled=bool(self.n) and self.strategy.needs_labeled)

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Turn on the passes with dropout that the strategy needs, and decide which outputs may stay on a GPU."""
        if self.n:
            self.prepare(pl_module)
        data = _data(trainer)
        self._running.embeddings = stored_embeddings(self.strategy, pl_module, data)
        self.use_head(pl_module)
        num_rows = data.num_scored + len(data.labeled) * data.context.predict_labeled
        # other processes can be sent only what is on the host
        self._blocks = OutputBlocks(self.strategy.on_device if trainer.world_size == 1 else frozenset(), num_rows)

    def prepare(self, model: LightningModule) -> None:
        """Request the passes with dropout that the strategy needs from our model; other models make their own.

        Raises:
            UserError: the model has no dropout.
        """
        if draw := getattr(model, "draw_dropout_masks", None):
            seed, round = self._key
            passes = range(self.strategy.mc_samples)
            draw([stream(seed, "dropout", round, t) for t in passes], self.strategy.shared_masks)

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Send the needed outputs to the host, and score the batches that have arrived by now."""
        outputs = _outputs(outputs, batch, pl_module)
        stored = {"embeddings"} if self._running.embeddings and not dataloader_idx else set()
        needed = {name: _take(outputs, name, pl_module) for name in self.strategy.needs - stored if self.n}
        predicted = _take(outputs, "logits", pl_module).argmax(dim=1)
        known = {"labels": batch.label} if dataloader_idx and self.strategy.needs_labels else {}
        sent = {"index": outputs["index"], **needed, **known, _PREDICTED: predicted}
        for block in self._blocks.add(sent, dataloader_idx):
            self._score(block, _data(trainer))

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Score the last batches, select, and pass the selection to ``receive``."""
        data = _data(trainer)
        for block in self._blocks.finish():
            self._score(block, data)
        if draw := getattr(pl_module, "draw_dropout_masks", None):
            draw([])
        with torch.inference_mode(False), torch.enable_grad():  # a selection outlives the pass, so no inference tensors
            self._end(data, self._ranks or Ranks.of(trainer), data.num_scored)

    # ---------------------------------------------------------------- scoring and selecting

    def _score(self, block: Block, data: ActiveDataModule) -> None:
        """Score a block, update the shortlist, and count errors."""
        predicted = block.outputs.pop(_PREDICTED)
        outputs: dict[str, Any] = {**block.outputs}
        needed = PoolOutputs(**outputs, num_classes=data.num_classes)
        if block.dataloader_idx:
            self._labeled.append(needed)
            return
        if self.n and self.strategy.needs:
            self._running.add(needed)
        errors = data.hidden_labels.count_errors(needed.index, predicted)
        self.seen += len(needed)
        self._wrong = None if self._wrong is None or errors is None else self._wrong + errors

    def _end(self, data: ActiveDataModule, ranks: Ranks, expected: int = 0) -> None:
        """Merge the shortlists, select on rank 0, and pass the selection to ``receive`` on every process."""
        if self.n and not self.strategy.needs and ranks.is_zero:
            self._running.add(PoolOutputs(index=data.pool, num_classes=data.num_classes))
        self._running.groups = data.groups
        shortlist = ShardShortlist([], []) if ranks.is_zero else self._running.held()
        parts = ranks.gather(PoolPart(shortlist, self._labeled, self.seen, self._wrong))
        self._labeled = []
        self._conclude(data, *ranks.on_zero(lambda: self._select(parts, expected)))

    def _conclude(self, data: ActiveDataModule, selection: Selection, seen: int, wrong: int | None) -> None:
        self.selection, self.seen, self._wrong = selection, seen, wrong
        if self.seen and self._wrong is not None:
            self.pool_error = self._wrong / self.seen
        if not self.n:
            return
        if self.selection.pseudo_labels is not None:
            self.wrong_pseudo_labels = data.hidden_labels.count_errors(*self.selection.pseudo_labels)
        self._receive(self.selection, data)

    def _select(self, parts: list[PoolPart], expected: int) -> tuple[Selection, int, int | None]:
        labeled: list[PoolOutputs] = []
        total, wrong = 0, list[int | None]()
        while parts:  # popped one by one, so that no row is in memory twice
            shortlist, outputs, seen, errors = parts.pop()
            self._running.merge(shortlist)
            labeled += outputs
            total += seen
            wrong.append(errors)
        if total != expected:
            raise ConfigError(
                f"expected the pool pass to give all {expected:,} images, got {total:,}: on several devices set "
                "Trainer(use_distributed_sampler=False), and leave limit_predict_batches and fast_dev_run out"
            )
        selection = self._running.finish(PoolOutputs.cat(labeled) if labeled else None)
        return selection, total, None if None in wrong else sum(count or 0 for count in wrong)


class PartOfQuery(Query):
    """Scores a part of the pool, ``data.enter(part=(k, K))``, for a :class:`Query` in another process.

    Attributes:
        part: what the pass found; available after it.
    """

    part: PoolPart

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Let the first part score the labeled set, too, if the strategy needs it."""
        super().setup(trainer, pl_module, stage)
        data = _data(trainer)
        data.enter(predict_labeled=data.context.predict_labeled and data.context.part[0] == 0)

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Turn on the passes with dropout; no output stays on a GPU, because all are sent."""
        super().on_predict_start(trainer, pl_module)
        self._running.embeddings = None  # the process that selects may not see the files
        self._blocks = OutputBlocks()

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep what the pass found."""
        for block in self._blocks.finish():
            self._score(block, _data(trainer))
        self.part = PoolPart(self._running.held(), self._labeled, self.seen, self._wrong)


def check_needs(strategy: Strategy) -> None:
    """Reject a strategy that needs an output that no model provides.

    Raises:
        ConfigError: ``needs``, ``mc_samples`` or ``needs_labels`` is wrong.
    """
    if unknown := strategy.needs - OUTPUTS:
        raise ConfigError(
            f"{strategy.name}.needs names {', '.join(sorted(unknown))}, but the model gives "
            f"{', '.join(sorted(OUTPUTS))}: correct the strategy's needs"
        )
    if ("mc_logits" in strategy.needs) != (strategy.mc_samples > 0):
        raise ConfigError(
            f"{strategy.name}.needs and mc_samples disagree, got needs {', '.join(sorted(strategy.needs))} and "
            f"mc_samples {strategy.mc_samples}: name mc_logits and a number of passes, or neither"
        )
    if strategy.needs_labels and not strategy.needs_labeled:
        raise ConfigError(
            f"expected {strategy.name} with needs_labels to have needs_labeled, too, got needs_labeled False: labels "
            "come with the outputs of the labeled set"
        )


def check_groups(strategy: Strategy, data: ActiveDataModule) -> None:
    """Reject a strategy that needs groups, for data without any.

    Raises:
        ConfigError: there are no groups.
    """
    if strategy.needs_groups and data.groups is None:
        raise ConfigError(
            f"expected data.group for query {strategy.name}, which spreads a query over groups, got none: set it to a "
            "column of the table of labels, or to a regular expression on paths"
        )


def _data(trainer: Trainer) -> ActiveDataModule:
    data = getattr(trainer, "datamodule", None)
    if not isinstance(data, ActiveDataModule):
        raise TypeError("Query needs trainer.predict(model, datamodule=...) with an ActiveDataModule")
    return data


def _outputs(outputs: Any, batch: Batch, model: LightningModule) -> dict[str, Tensor]:
    """Return the outputs of ``predict_step`` by name, with the dataset indices of the batch."""
    if isinstance(outputs, Tensor):
        outputs = {"logits": outputs}
    if not isinstance(outputs, Mapping):
        raise TypeError(
            f"expected {type(model).__name__}.predict_step() to return logits, or a mapping of outputs by name, got "
            f"{type(outputs).__name__}"
        )
    return {"index": batch.index, **outputs}


def _take(outputs: Mapping[str, Tensor], name: str, model: LightningModule) -> Tensor:
    if name not in outputs:
        raise ConfigError(
            f"expected {type(model).__name__}.predict_step() to return {name}, got {', '.join(outputs)}: add it, or "
            "choose a query that needs less"
        )
    return outputs[name]
