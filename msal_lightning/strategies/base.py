"""The contract of every query strategy: score → shortlist → select, tensors in and row numbers out."""

from abc import ABC, abstractmethod

import torch
from torch import Generator, Tensor

from msal_lightning.pool import PoolOutputs


class Strategy(ABC):
    """Chooses which images of the pool to buy labels for.

    A strategy sees the model's outputs and nothing else: no Trainer, module, data, device, file or global randomness.

    Attributes:
        needs: the outputs that it reads; empty: it needs no pass over the pool at all.
        needs_prototypes: it has a meaning on the prototype head only.
        min_classes: fewest classes for which it has a meaning.
    """

    needs: frozenset[str] = frozenset({"logits"})
    needs_prototypes: bool = False
    min_classes: int = 2

    @property
    def name(self) -> str:
        """What tables and run directories call it."""
        return type(self).__name__

    def score(self, pool: PoolOutputs, seed: int) -> Tensor:
        """How much each row is worth, higher = query first; not called where :meth:`shortlist_size` is None.

        Args:
            pool: N rows with what ``needs`` names.
            seed: of the round's query stream; noise is drawn per row from (seed, index), never in sequence, so that
                batches and ranks don't matter.

        Returns:
            (N,) float32, finite.
        """
        raise NotImplementedError(f"{self.name} has no score")

    @abstractmethod
    def shortlist_size(self, n: int) -> int | None:
        """How many of the best-scored rows :meth:`select` wants to see to buy n; None: every row, unscored.

        This is the memory of a query: all other rows are forgotten while the pool streams through.
        """

    @abstractmethod
    def select(self, shortlist: PoolOutputs, labeled: PoolOutputs | None, n: int, generator: Generator) -> Tensor:
        """Which rows of the shortlist to buy, best first.

        Args:
            shortlist: M rows in ascending order of index, with ``score`` where :meth:`score` was called.
            labeled: the same outputs of the labeled set; None from the loop, until a strategy can ask for them.
            n: how many, at most M.
            generator: the round's query stream.

        Returns:
            (n,) int64 rows of the shortlist, none twice.
        """


class ScoreStrategy(Strategy):
    """A strategy that is nothing but a score: it buys the n rows with the highest."""

    @abstractmethod
    def score(self, pool: PoolOutputs, seed: int) -> Tensor:  # noqa: D102
        ...

    def shortlist_size(self, n: int) -> int:  # noqa: D102
        return n

    def select(self, shortlist: PoolOutputs, labeled: PoolOutputs | None, n: int, generator: Generator) -> Tensor:  # noqa: D102
        return by_score(shortlist)[:n]


def by_score(pool: PoolOutputs) -> Tensor:
    """Rows from the highest score to the lowest, ties by lower row: (N,) int64."""
    return torch.argsort(pool.require("score"), descending=True, stable=True)
