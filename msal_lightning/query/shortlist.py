"""The streaming shortlist: a pool of any size streams through, and only the best rows are kept.

The Query callback uses it, and so does :func:`select_indices`, which needs no Trainer.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import torch
from torch import Generator, Tensor

from msal_lightning.data.label_guard import forbid_label_access
from msal_lightning.errors import ConfigError
from msal_lightning.strategies.base import Strategy, by_score
from msal_lightning.strategies.outputs import OUTPUTS, PoolOutputs
from msal_lightning.strategies.rows import IndexedRows, RowSource


@dataclass(frozen=True)
class Selection:
    """The selection of a query, best first.

    Attributes:
        index: (n,) int64, dataset-absolute.
        score: (n,) float32; None for a strategy without a score.
        pseudo_labels: (m,) indices of other pool images and (m,) int64 predictions for them, for the next fit; None for
            a strategy without pseudo-labels.
    """

    index: Tensor
    score: Tensor | None
    pseudo_labels: tuple[Tensor, Tensor] | None = None

    def part(self, rows: slice | Tensor) -> "Selection":
        """Return some of the images, without pseudo-labels."""
        return Selection(self.index[rows], None if self.score is None else self.score[rows])

    def then(self, other: "Selection") -> "Selection":
        """Return these images and others after them, without pseudo-labels; scores stay if both have them."""
        if not len(self.index) or not len(other.index):
            return (self if len(self.index) else other).part(slice(None))
        scores = [one.score for one in (self, other) if one.score is not None]
        return Selection(torch.cat([self.index, other.index]), torch.cat(scores) if len(scores) == 2 else None)


@dataclass(frozen=True)
class ShardShortlist:
    """A shard's candidate shortlist, as plain tensors that can be sent between ranks.

    Attributes:
        parts: rows with their scores, in any order.
        pseudo_labels: indices and labels, in any order.
    """

    parts: list[PoolOutputs]
    pseudo_labels: list[tuple[Tensor, Tensor]]


class StreamingShortlist:
    """Scores the pool batch by batch, keeps the best rows, then selects.

    The selection depends neither on the order of the pool nor on its batches, because ties go to the lower index, and
    ``select`` gets its rows in ascending order of index.

    Args:
        strategy: scores and selects.
        n: number of images to select; a smaller pool is selected whole.
        generator: the round's query stream; its initial seed is the seed of stochastic scores.
        round: k, for strategies with pseudo-labels.
        embeddings: those of all images, if they stay where they are and batches come without them; only for a strategy
            with ``embeddings_by_rows``.
        head: the model's head; only for a strategy with ``needs_head``.
        groups: (N,) int64, the group of each image by index; only for a strategy with ``needs_groups``.
    """

    def __init__(
        self,
        strategy: Strategy,
        n: int,
        generator: Generator,
        round: int = 0,
        embeddings: RowSource | None = None,
        head: Callable[[Tensor], Tensor] | None = None,
        groups: Tensor | None = None,
    ) -> None:
        self.strategy = strategy
        self.n = n
        self.generator = generator
        self.round = round
        self.embeddings = embeddings
        self.head = head
        self.groups = groups
        self.size = strategy.shortlist_size(n)
        self._parts: list[PoolOutputs] = []
        self._held = 0
        self._pseudo: list[tuple[Tensor, Tensor]] = []
        self._cut = -torch.inf  # lowest score that can enter a full shortlist

    def add(self, batch: PoolOutputs) -> None:
        """Score a batch and keep the rows that may still be selected.

        Raises:
            ConfigError: too few classes for the strategy, or an output or a score that is not finite.
            ValueError: the batch has labels.
        """
        if batch.labels is not None:
            raise ValueError("expected a pool without labels, got them: only the labeled set may have some")
        if not len(batch) or not self.n:
            return
        self._check_finite(batch)  # check all rows, because a score may hide NaN: argmax, for example, selects it
        if batch.logits is not None:
            check_classes(self.strategy, batch.logits.shape[1])
        if self.size is not None:
            batch = replace(batch, score=self._score(batch))
        with forbid_label_access():
            pseudo = self.strategy.pseudo_labels(batch, self.round)
        if pseudo is not None:
            sure = pseudo >= 0
            self._pseudo.append((batch.index[sure], pseudo[sure]))
        batch = self._above_cut(batch)
        with forbid_label_access():
            batch = self.strategy.condense(batch, self.n)
        self._keep(batch)

    def held(self) -> ShardShortlist:
        """Return the shortlist of this shard, for another process."""
        if self.size is not None and self._parts:
            self._shrink(self.size)
        return ShardShortlist(self._parts, self._pseudo)

    def merge(self, other: ShardShortlist) -> None:
        """Merge the shortlist of another shard, with the same result as adding that shard here."""
        self._pseudo += other.pseudo_labels
        for part in other.parts:
            self._keep(self._above_cut(part))

    def finish(self, labeled: PoolOutputs | None = None) -> Selection:
        """Select from the added batches.

        Args:
            labeled: outputs of the labeled set, if the strategy needs them.

        Raises:
            RuntimeError: the strategy broke its contract: wrong number of rows, a row twice or out of range.
        """
        if not self._parts:
            return Selection(torch.empty(0, dtype=torch.int64), None)
        if self.size is not None:
            self._shrink(self.size)
        shortlist = PoolOutputs.cat(self._parts)
        self._parts = []  # frees memory: if every row is kept, a second copy would be as large as the pool
        shortlist = self._with_embeddings(_in_order(shortlist))
        if labeled is not None:
            labeled = _in_order(labeled)
            self._check_finite(labeled)
        n = min(self.n, len(shortlist))
        groups = self.groups[shortlist.index] if self.strategy.needs_groups and self.groups is not None else None
        shortlist = replace(shortlist, head=self.head, groups=groups)
        with forbid_label_access():
            rows = self.strategy.select(shortlist, labeled, n, self.generator)
        self._check_rows(rows, n, len(shortlist))
        chosen = shortlist.rows(rows)  # the only place that turns rows into indices
        return Selection(chosen.index, chosen.score, self._pseudo_labels(chosen.index))

    def _with_embeddings(self, shortlist: PoolOutputs) -> PoolOutputs:
        if self.embeddings is None:
            return shortlist
        return replace(shortlist, embeddings=IndexedRows(self.embeddings, shortlist.index))

    def _score(self, batch: PoolOutputs) -> Tensor:
        with forbid_label_access():
            score = self.strategy.score(batch, self.generator.initial_seed()).float()
        if score.shape != (len(batch),):
            raise RuntimeError(f"{self.strategy.name}.score() must give ({len(batch)},), got {tuple(score.shape)}")
        if not torch.isfinite(score).all():
            wrong = int((~torch.isfinite(score)).sum())
            raise ConfigError(
                f"expected finite scores from query {self.strategy.name}, got {wrong} of {len(score)} that are NaN or "
                f"infinite although the model's outputs are finite: correct {type(self.strategy).__name__}.score(), or "
                "the uncertainty "
                "that it builds on"
            )
        return score

    def _above_cut(self, batch: PoolOutputs) -> PoolOutputs:
        return batch.rows(batch.require("score") >= self._cut) if self._cut > -torch.inf else batch

    def _keep(self, batch: PoolOutputs) -> None:
        self._parts.append(batch)
        self._held += len(batch)
        if self.size is not None and len(self._parts) > _MOST_PARTS:  # the first part is the shortlist so far
            self._parts[1:] = [PoolOutputs.cat(self._parts[1:])]
        if self.size is not None and self._held >= self.size + self._spare_rows(batch):
            self._shrink(self.size)

    def _spare_rows(self, batch: PoolOutputs) -> int:
        """Return how many rows may exceed the shortlist before it is cut: many for rare cuts, few if rows are long."""
        assert self.size is not None
        few = self.size // 4 + _SPARE_BYTES * len(batch) // max(1, batch.num_bytes)
        return min(self.size + 4096, few)

    def _check_finite(self, outputs: PoolOutputs) -> None:
        for name in sorted(OUTPUTS):
            values = getattr(outputs, name)
            # the extremes are not finite where any value is not; a mask of all would cost as much memory as they do
            if values is not None and values.numel() and not torch.stack(values.aminmax()).isfinite().all():
                raise ConfigError(
                    f"expected finite {name} for query {self.strategy.name}, got NaN or infinity: {_DIVERGED}"
                )

    def _check_rows(self, rows: Tensor, n: int, size: int) -> None:
        name = f"{type(self.strategy).__name__}.select()"
        if rows.shape != (n,) or rows.dtype != torch.int64:
            raise RuntimeError(f"{name} must return ({n},) int64 rows, got {tuple(rows.shape)} {rows.dtype}")
        if n and not 0 <= rows.min() <= rows.max() < size:
            raise RuntimeError(
                f"{name} must return rows of the shortlist, 0 to {size - 1}, got {int(rows.min())} to "
                f"{int(rows.max())}: dataset indices are not rows"
            )
        if len(torch.unique(rows)) != n:
            raise RuntimeError(f"{name} must return {n} different rows, got {len(torch.unique(rows))} different ones")

    def _pseudo_labels(self, queried: Tensor) -> tuple[Tensor, Tensor] | None:
        if not self._pseudo:
            return None
        index, labels = (torch.cat(column) for column in zip(*self._pseudo, strict=True))
        keep = ~torch.isin(index, queried)
        index, labels = index[keep], labels[keep]
        order = index.argsort()
        return index[order], labels[order]

    def _shrink(self, size: int) -> None:
        held = PoolOutputs.cat(self._parts)
        self._parts = [held]
        if len(held) > size:
            order = held.index.argsort()  # so that ties go to the lower index
            best = order[by_score(PoolOutputs(held.index[order], held.require("score")[order]))[:size]]
            held = held.rows(best)  # rows may be long, so they are copied only once
            self._cut = float(held.require("score")[-1])
        self._parts, self._held = [held], len(held)


_MOST_PARTS = 8  # more parts would fragment memory: few kept rows of each batch would keep freed batches from returning
_SPARE_BYTES = 2**26
_DIVERGED = "the model has probably diverged; lower model.optimizer.init_args.lr"


def _in_order(outputs: PoolOutputs) -> PoolOutputs:
    """Sort rows by ascending index, without a copy if they are sorted already."""
    index = outputs.index
    return outputs if bool((index[1:] > index[:-1]).all()) else outputs.rows(index.argsort())


def select_indices(
    strategy: Strategy,
    batches: Iterable[PoolOutputs],
    labeled: PoolOutputs | None,
    n: int,
    generator: Generator,
    head: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """Select n images of a pool that comes in batches, without a Trainer.

    Args:
        strategy: any :class:`Strategy`.
        batches: the pool, with the outputs in ``strategy.needs``; only the shortlist is kept in memory.
        labeled: the same outputs of the labeled set, or None.
        n: number of images; a smaller pool is selected whole.
        generator: CPU generator; equal states give equal selections.
        head: the model's head, for a strategy with ``needs_head``.

    Returns:
        (n,) int64 dataset indices, best first.

    Raises:
        ConfigError: outputs or scores are not finite, or there are too few classes for the strategy.
        RuntimeError: the strategy returned rows twice, out of range or too few.
    """
    running = StreamingShortlist(strategy, n, generator, head=head)
    for batch in batches:
        running.add(batch)
    return running.finish(labeled).index


def check_classes(strategy: Strategy, num_classes: int) -> None:
    """Reject a strategy that is undefined for so few classes.

    Raises:
        ConfigError: there are too few classes; the message names an alternative.
    """
    if num_classes < strategy.min_classes:
        raise ConfigError(
            f"query {strategy.name} needs at least {strategy.min_classes} classes, got {num_classes}: with two classes "
            "every cosine to a prototype is 1 or -1, so set query to MSALD with query.uncertainty Margin"
        )
