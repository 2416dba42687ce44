"""Any strategy with few images of each group."""

import math

import numpy as np
import torch
from torch import Generator, Tensor

from msal_lightning.strategies.base import Strategy
from msal_lightning.strategies.margin import Margin
from msal_lightning.strategies.outputs import PoolOutputs


class PerGroup(Strategy):
    """Another strategy, which spreads a query over the groups of ``data.group``.

    Images of a patient, a camera's site or a burst resemble each other, and the best scores may belong to one group.
    This strategy lets the other one choose ``beta``·b candidates, best first, and takes at most ``most`` images of each
    group. If the candidates have too few groups, it takes turns: each group gives ``most`` further images in a turn.

    Args:
        strategy: chooses the candidates.
        most: images of a group in a query, at least 1.
        beta: number of candidates divided by b; at least 1. A larger value finds more groups with images that the
            strategy would choose later.

    Raises:
        ValueError: ``most`` or ``beta`` is below 1.
    """

    needs_groups = True

    def __init__(self, strategy: Strategy = Margin(), most: int = 1, beta: float = 10.0) -> None:  # noqa: B008
        if most < 1:
            raise ValueError(f"query.most must be at least 1, got {most}: 1 takes one image of each group")
        if not 1 <= beta < math.inf:
            raise ValueError(f"query.beta must be a number of at least 1, got {beta}: fewer candidates cannot fill b")
        self.strategy, self.most, self.beta = strategy, most, beta
        self._build_on(strategy)
        self.on_device, self.embeddings_by_rows = strategy.on_device, strategy.embeddings_by_rows

    @property
    def name(self) -> str:
        """PerGroup, followed by the strategy."""
        return f"PerGroup-{self.strategy.name}"

    def _candidates(self, n: int) -> int:
        return math.ceil(self.beta * n)

    def score(self, pool: PoolOutputs, seed: int) -> Tensor:  # noqa: D102
        return self.strategy.score(pool, seed)

    def shortlist_size(self, n: int) -> int | None:  # noqa: D102
        return self.strategy.shortlist_size(self._candidates(n))

    def condense(self, pool: PoolOutputs, n: int) -> PoolOutputs:  # noqa: D102
        return self.strategy.condense(pool, self._candidates(n))

    def select(self, shortlist: PoolOutputs, labeled: PoolOutputs | None, n: int, generator: Generator) -> Tensor:  # noqa: D102
        groups = shortlist.require("groups")
        rows = self.strategy.select(shortlist, labeled, min(self._candidates(n), len(shortlist)), generator)
        turn = _earlier_ones(groups[rows]) // self.most
        return rows[turn.argsort(stable=True)[:n]]

    def pseudo_labels(self, pool: PoolOutputs, round: int) -> Tensor | None:  # noqa: D102
        return self.strategy.pseudo_labels(pool, round)

    def pseudo_label_threshold(self, round: int) -> float | None:  # noqa: D102
        return self.strategy.pseudo_label_threshold(round)

    def expect_queries(self, num_queries: int) -> None:  # noqa: D102
        self.strategy.expect_queries(num_queries)


def _earlier_ones(groups: Tensor) -> Tensor:
    """Count the earlier rows of the same group, for each row: (n,) int64."""
    order = np.argsort(groups.numpy(), kind="stable")
    ordered = groups.numpy()[order]
    starts = np.searchsorted(ordered, ordered)
    earlier = torch.empty(len(groups), dtype=torch.int64)
    earlier[torch.from_numpy(order)] = torch.from_numpy(np.arange(len(groups)) - starts)
    return earlier
