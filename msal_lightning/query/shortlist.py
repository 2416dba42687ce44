"""The running shortlist: a pool of any size streams through, only the best rows stay.

Used by the Query callback and, without a Trainer, by :func:`select_indices`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import torch
from torch import Generator, Tensor

from msal_lightning.data.label_guard import forbid_label_access
from msal_lightning.errors import ConfigError
from msal_lightning.strategies.base import Strategy, by_score
from msal_lightning.strategies.outputs import OUTPUTS, PoolOutputs


@dataclass(frozen=True)
class Selection:
    """What a query chose, best first.

    Attributes:
        index: (n,) int64, dataset-absolute.
        score: (n,) float32; None for a strategy without a score.
        pseudo_labels: (m,) indices that were not chosen and (m,) int64 predictions for them, for the next fit; None
            for a strategy that makes none.
    """

    index: Tensor
    score: Tensor | None
    pseudo_labels: tuple[Tensor, Tensor] | None = None


@dataclass(frozen=True)
class ShardShortlist:
    """What may still be selected of a part of the pool; plain tensors, to be sent to another process.

    Attributes:
        parts: rows with their scores, in any order.
        pseudo_labels: indices and labels, in any order.
    """

    parts: list[PoolOutputs]
    pseudo_labels: list[tuple[Tensor, Tensor]]


class StreamingShortlist:
    """Takes the pool batch by batch, then selects.

    The answer depends neither on the order of the pool nor on how it is cut into batches: ties of the score break by
    lower index, and ``select`` gets its rows in ascending order of index.

    Args:
        strategy: what scores and selects.
        n: how many to select; a pool of fewer rows is taken whole.
        generator: the round's query stream; its initial seed is the seed of stochastic scores.
        round: k, for strategies with pseudo-labels.
    """

    def __init__(self, strategy: Strategy, n: int, generator: Generator, round: int = 0) -> None:
        self.strategy = strategy
        self.n = n
        self.generator = generator
        self.round = round
        self.size = strategy.shortlist_size(n)
        self._parts: list[PoolOutputs] = []
        self._held = 0
        self._pseudo: list[tuple[Tensor, Tensor]] = []
        self._cut = -torch.inf  # once the shortlist was full: no row below this score can enter it

    def add(self, batch: PoolOutputs) -> None:
        """Score a batch and keep what may still be selected.

        Raises:
            ConfigError: too few classes for the strategy, or an output or a score that is not finite.
        """
        if not len(batch) or not self.n:
            return
        self._check_finite(batch)  # all rows, since a score may hide what is not: argmax, for example, takes NaN
        if batch.logits is not None:
            check_classes(self.strategy, batch.logits.shape[1])
        if self.size is not None:
            batch = replace(batch, score=self._score(batch))
        with forbid_label_access():
            pseudo = self.strategy.pseudo_labels(batch, self.round)
        if pseudo is not None:
            sure = pseudo >= 0
            self._pseudo.append((batch.index[sure], pseudo[sure]))
        self._keep(batch)

    def held(self) -> ShardShortlist:
        """What another process needs, to select from this part of the pool too."""
        if self.size is not None and self._parts:
            self._shrink(self.size)
        return ShardShortlist(self._parts, self._pseudo)

    def merge(self, other: ShardShortlist) -> None:
        """Take over what another one holds of another part of the pool: the same as adding that part here."""
        self._pseudo += other.pseudo_labels
        for part in other.parts:
            self._keep(part)

    def finish(self, labeled: PoolOutputs | None = None) -> Selection:
        """Select from what was added.

        Args:
            labeled: outputs of the labeled set, where the strategy wants them.

        Raises:
            RuntimeError: the strategy broke its contract: wrong number of rows, a row twice or out of range.
        """
        if not self._parts:
            return Selection(torch.empty(0, dtype=torch.int64), None)
        if self.size is not None:
            self._shrink(self.size)
        shortlist = PoolOutputs.cat(self._parts)
        self._parts = []  # where every row is kept, a second copy would cost as much as the pool
        shortlist = _in_order(shortlist)
        labeled = None if labeled is None else _in_order(labeled)
        if labeled is not None:
            self._check_finite(labeled)
        n = min(self.n, len(shortlist))
        with forbid_label_access():
            rows = self.strategy.select(shortlist, labeled, n, self.generator)
        self._check_rows(rows, n, len(shortlist))
        chosen = shortlist.rows(rows)  # the one place where a row becomes an index
        return Selection(chosen.index, chosen.score, self._pseudo_labels(chosen.index))

    def _score(self, batch: PoolOutputs) -> Tensor:
        with forbid_label_access():
            score = self.strategy.score(batch, self.generator.initial_seed()).float()
        if score.shape != (len(batch),):
            raise RuntimeError(f"{self.strategy.name}.score() must give ({len(batch)},), got {tuple(score.shape)}")
        if not torch.isfinite(score).all():
            wrong = int((~torch.isfinite(score)).sum())
            raise ConfigError(
                f"expected finite scores from query {self.strategy.name}, got {wrong} of {len(score)} that are not "
                f"although the model's outputs are: correct {type(self.strategy).__name__}.score(), or the uncertainty "
                "that it builds on"
            )
        return score

    def _keep(self, batch: PoolOutputs) -> None:
        if self._cut > -torch.inf:
            batch = batch.rows(batch.require("score") >= self._cut)
        self._parts.append(batch)
        self._held += len(batch)
        if self.size is not None and len(self._parts) > _MOST_PARTS:  # the first one, the shortlist so far, stays
            self._parts[1:] = [PoolOutputs.cat(self._parts[1:])]
        if self.size is not None and self._held >= self.size + self._spare_rows(batch):
            self._shrink(self.size)

    def _spare_rows(self, batch: PoolOutputs) -> int:
        """Rows held beyond the shortlist before it is cut: enough that cutting is rare, few where rows are long."""
        assert self.size is not None
        few = self.size // 4 + _SPARE_BYTES * len(batch) // max(1, batch.num_bytes)
        return min(self.size + 4096, few)

    def _check_finite(self, outputs: PoolOutputs) -> None:
        for name in sorted(OUTPUTS):
            values = getattr(outputs, name)
            # the extremes are not finite where any value is not; a mask of all would cost as much memory as they do
            if values is not None and values.numel() and not torch.stack(values.aminmax()).isfinite().all():
                raise ConfigError(
                    f"expected finite {name} for query {self.strategy.name}, got some that are not: {_DIVERGED}"
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
            order = held.index.argsort()  # so that ties of the score break by lower index
            best = order[by_score(PoolOutputs(held.index[order], held.require("score")[order]))[:size]]
            held = held.rows(best)  # the rows may be long: they are moved once
            self._cut = float(held.require("score")[-1])
        self._parts, self._held = [held], len(held)


_MOST_PARTS = 8  # a few rows kept of each batch would lie in holes of freed batches, and the memory would not shrink
_SPARE_BYTES = 2**26
_DIVERGED = "the model has probably diverged; lower model.optimizer.init_args.lr"


def _in_order(outputs: PoolOutputs) -> PoolOutputs:
    """Rows in ascending order of index; no copy where they are already."""
    index = outputs.index
    return outputs if bool((index[1:] > index[:-1]).all()) else outputs.rows(index.argsort())


def select_indices(
    strategy: Strategy, batches: Iterable[PoolOutputs], labeled: PoolOutputs | None, n: int, generator: Generator
) -> Tensor:
    """Choose n images of a pool that comes in batches, without a Trainer.

    Args:
        strategy: any :class:`Strategy`.
        batches: the pool with what ``strategy.needs`` names; only the shortlist is kept in memory.
        labeled: the same outputs of the labeled set, or None.
        n: how many; fewer where the pool is smaller.
        generator: CPU generator; the same one gives the same answer.

    Returns:
        (n,) int64 dataset indices, best first.

    Raises:
        ConfigError: outputs or scores that are not finite, or too few classes for the strategy.
        RuntimeError: the strategy returned rows twice, out of range or too few.
    """
    running = StreamingShortlist(strategy, n, generator)
    for batch in batches:
        running.add(batch)
    return running.finish(labeled).index


def check_classes(strategy: Strategy, num_classes: int) -> None:
    """Refuse a strategy that has no meaning for so few classes.

    Raises:
        ConfigError: names a strategy that has.
    """
    if num_classes < strategy.min_classes:
        raise ConfigError(
            f"query {strategy.name} needs at least {strategy.min_classes} classes, got {num_classes}: with two classes "
            "every cosine to a prototype is 1 or -1, so set query to MSALD with query.uncertainty Margin"
        )
