"""The baseline that every strategy has to beat."""

import torch
from torch import Generator, Tensor

from msal_lightning.strategies.base import Strategy
from msal_lightning.strategies.outputs import PoolOutputs


class Random(Strategy):
    """Uniformly random images; needs no pass over the pool."""

    needs = frozenset()

    def shortlist_size(self, n: int) -> None:  # noqa: D102
        return None

    def select(self, shortlist: PoolOutputs, labeled: PoolOutputs | None, n: int, generator: Generator) -> Tensor:  # noqa: D102
        return torch.randperm(len(shortlist), generator=generator)[:n]
