"""Any strategy among the neighbours of the labeled images."""

from dataclasses import replace

import torch
from torch import Generator, Tensor

from msal_lightning.strategies.base import Strategy, by_score
from msal_lightning.strategies.entropy import Entropy
from msal_lightning.strategies.outputs import PoolOutputs
from msal_lightning.strategies.shared.nearest_neighbours import nearest_neighbours


class SEALS(Strategy):
    """Another strategy, which sees only the k nearest neighbours in the pool of each labeled image.

    Neighbours are exact, by the distance of embeddings on the unit sphere. If they are fewer than the images to select,
    k is doubled until they suffice. Without a labeled set the strategy sees the whole pool. The paper looks up
    neighbours in an index that it makes once from fixed embeddings; this class searches the embeddings of each round.

    [0] Coleman et al., 2022, Similarity Search for Efficient Active Learning and Search of Rare Concepts,
    arXiv 2007.00077

    Args:
        strategy: selects among the candidates; it must make no pseudo-labels, as CEAL does. The paper's MaxEnt is
            Entropy.
        k: number of neighbours of each labeled image, at least 1. 100 in the paper.

    Raises:
        ValueError: ``k`` is below 1, or the strategy makes pseudo-labels.
    """

    embeddings_by_rows = True

    def __init__(self, strategy: Strategy = Entropy(), k: int = 100) -> None:  # noqa: B008 - stateless
        if k < 1:
            raise ValueError(f"query.k must be at least 1, got {k}: 100 is the paper's value")
        if type(strategy).pseudo_labels is not Strategy.pseudo_labels:
            raise ValueError(f"query.strategy must make no pseudo-labels, got {strategy.name}: use its uncertainty")
        self.strategy = strategy
        self.k = k
        self._build_on(strategy, "embeddings")
        self.needs_labeled = True

    @property
    def name(self) -> str:
        """SEALS, followed by the strategy."""
        return f"SEALS-{self.strategy.name}"

    def expect_queries(self, num_queries: int) -> None:  # noqa: D102
        self.strategy.expect_queries(num_queries)

    def shortlist_size(self, n: int) -> None:  # noqa: D102
        return None

    def select(self, shortlist: PoolOutputs, labeled: PoolOutputs | None, n: int, generator: Generator) -> Tensor:  # noqa: D102
        rows = self._candidates(shortlist, labeled, n)
        candidates = _in_memory(shortlist.rows(rows))
        size = self.strategy.shortlist_size(n)
        if size is not None:
            seed = int(torch.randint(2**62, (), generator=generator))
            candidates = replace(candidates, score=self.strategy.score(candidates, seed))
            kept = by_score(candidates)[:size].sort().values
            rows, candidates = rows[kept], candidates.rows(kept)
        known = None if labeled is None or not self.strategy.needs_labeled else _in_memory(labeled)
        return rows[self.strategy.select(candidates, known, n, generator)]

    def _candidates(self, shortlist: PoolOutputs, labeled: PoolOutputs | None, n: int) -> Tensor:
        """Return rows of the shortlist, at least n: (M,) int64 on the CPU, ascending."""
        x, k = shortlist.embedding_rows(), min(self.k, len(shortlist))
        if labeled is None or not len(labeled):
            return torch.arange(len(x))
        while True:
            rows: Tensor = torch.unique(nearest_neighbours(x, labeled.embedding_rows(), k))
            if len(rows) >= n:
                return rows.cpu()
            k = min(2 * k, len(x))


def _in_memory(outputs: PoolOutputs) -> PoolOutputs:
    """Return outputs whose embeddings are a tensor on the CPU, for strategies that cannot read them by rows."""
    return replace(outputs, embeddings=outputs.embedding_rows()[:].cpu())
