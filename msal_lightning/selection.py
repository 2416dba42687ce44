"""The running shortlist: a pool of any size streams through, only the best rows stay.

Used by the Query callback and, without a Trainer, by :func:`select_indices`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import torch
from torch import Generator, Tensor

from msal_lightning.errors import UserError
from msal_lightning.pool import PoolOutputs
from msal_lightning.strategies.base import Strategy, by_score


@dataclass(frozen=True)
class Selection:
    """What a query chose, best first.

    Attributes:
        index: (n,) int64, dataset-absolute.
        score: (n,) float32; None for a strategy without a score.
    """

    index: Tensor
    score: Tensor | None


class RunningSelection:
    """Takes the pool batch by batch, then selects.

    The answer depends neither on the order of the pool nor on how it is cut into batches: ties of the score break by
    lower index, and ``select`` gets its rows in ascending order of index.

    Args:
        strategy: what scores and selects.
        n: how many to select; a pool of fewer rows is taken whole.
        generator: the round's query stream; its initial seed is the seed of stochastic scores.
    """

    def __init__(self, strategy: Strategy, n: int, generator: Generator) -> None:
        self.strategy = strategy
        self.n = n
        self.generator = generator
        self.size = strategy.shortlist_size(n)
        self._parts: list[PoolOutputs] = []
        self._held = 0
        self._cut = -torch.inf  # once the shortlist was full: no row below this score can enter it

    def add(self, batch: PoolOutputs) -> None:
        """Score a batch and keep what may still be selected.

        Raises:
            UserError: too few classes for the strategy, or a score that is not finite.
        """
        if not len(batch) or not self.n:
            return
        if batch.logits is not None:
            check_classes(self.strategy, batch.logits.shape[1])
        if self.size is not None:
            score = self.strategy.score(batch, self.generator.initial_seed()).float()
            if score.shape != (len(batch),):
                raise RuntimeError(f"{self.strategy.name}.score() must give ({len(batch)},), got {tuple(score.shape)}")
            if not torch.isfinite(score).all():
                raise UserError(
                    f"expected finite scores, got {int((~torch.isfinite(score)).sum())} that are not from "
                    f"{self.strategy.name}: the model has probably diverged; lower model.optimizer.init_args.lr"
                )
            batch = replace(batch, score=score)
            if self._cut > -torch.inf:
                batch = batch.rows(score >= self._cut)
        self._parts.append(batch)
        self._held += len(batch)
        if (
            self.size is not None and self._held >= 2 * self.size + 4096
        ):  # 4096: small shortlists are not cut each batch
            self._shrink(self.size)

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
        shortlist = shortlist.rows(shortlist.index.argsort())
        n = min(self.n, len(shortlist))
        rows = self.strategy.select(shortlist, labeled, n, self.generator)
        if (
            rows.shape != (n,)
            or len(torch.unique(rows)) != n
            or (n and not 0 <= rows.min() <= rows.max() < len(shortlist))
        ):
            raise RuntimeError(
                f"{type(self.strategy).__name__}.select() must return {n} different rows below {len(shortlist)}, "
                f"got {tuple(rows.shape)} with {len(torch.unique(rows))} different ones"
            )
        chosen = shortlist.rows(rows)  # the one place where a row becomes an index
        return Selection(chosen.index, chosen.score)

    def _shrink(self, size: int) -> None:
        held = PoolOutputs.cat(self._parts)
        if len(held) > size:
            held = held.rows(held.index.argsort())  # so that ties of the score break by lower index
            held = held.rows(by_score(held)[:size])
            self._cut = float(held.require("score")[-1])
        self._parts, self._held = [held], len(held)


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
        UserError: scores that are not finite, or too few classes for the strategy.
        RuntimeError: the strategy returned rows twice, out of range or too few.
    """
    running = RunningSelection(strategy, n, generator)
    for batch in batches:
        running.add(batch)
    return running.finish(labeled).index


def check_classes(strategy: Strategy, num_classes: int) -> None:
    """Refuse a strategy that has no meaning for so few classes.

    Raises:
        UserError: names a strategy that has.
    """
    if num_classes < strategy.min_classes:
        raise UserError(
            f"query {strategy.name} needs at least {strategy.min_classes} classes, got {num_classes}: with two classes "
            "every cosine to a prototype is 1 or -1, so set query to MSALD with query.uncertainty Margin"
        )
