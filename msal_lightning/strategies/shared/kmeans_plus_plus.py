"""k-means++ over gradients, which reads all of them a few times only."""

from collections.abc import Iterator

import torch
from torch import Generator, Tensor

from msal_lightning.strategies.shared.distances import blocks, first_of_largest
from msal_lightning.strategies.shared.gradients import PoolGradients

_QUEUE = 512  # candidates that are drawn together
_FEW = 26  # accepted candidates of a queue, 5 %: with fewer, the next queue gets new weights


class KMeansPlusPlus:
    """k-means++ by rejection: distances to all chosen rows are computed for a few hundred candidates only.

    A distance to the nearest chosen row only falls. So candidates are drawn by the distances w of some moments ago and
    accepted with probability d/w, where d is today's distance: each is then drawn in proportion to d, as if the
    distances of all rows had been computed. If few are accepted, they are computed.

    Distances are in float64, and draws come from a CPU generator: the rows do not depend on the device.

    Args:
        pool: the gradients.
        generator: draws candidates, 512 at a time, and decides on them.
    """

    def __init__(self, pool: PoolGradients, generator: Generator) -> None:
        self._pool = pool
        self._generator = generator
        self._picks: list[int] = []
        self._weight = torch.full((len(pool),), torch.inf, dtype=torch.float64)
        self._num_included = 0  # picks to which the weights include the distance

    def draw(self, n: int) -> Tensor:
        """Draw n rows, none twice: (n,) int64."""
        # one tensor: parts that stay between freed blocks would fragment memory
        square = torch.empty_like(self._weight)
        for part in self._blocks():
            square[part] = self._pool.at(part).square.cpu()
        self._picks.append(first_of_largest(square))
        accepted = 0
        while len(self._picks) < n:
            # the distances of candidates to all picks must not cost more than those of all rows to new picks
            costly = _QUEUE * (len(self._picks) - self._num_included) > accepted * len(self._pool)
            if accepted < _FEW or costly:
                self._include_picks()
            if not self._weight.any():
                return torch.cat([torch.tensor(self._picks), self._any_others(n - len(self._picks))])
            accepted = self._go_through(*self._candidates(), n)
        return torch.tensor(self._picks[:n])

    def _include_picks(self) -> None:
        """Lower the weights of all rows to their distance to the nearest pick."""
        new = self._pool.at(torch.tensor(self._picks[self._num_included :]))
        for part in self._blocks():
            self._weight[part] = torch.minimum(self._weight[part], self._pool.at(part).to_nearest(new).cpu())
        self._weight[self._picks] = 0
        self._num_included = len(self._picks)

    def _candidates(self) -> tuple[Tensor, Tensor]:
        """Draw rows in proportion to their weights, and for each the level that its distance has to exceed."""
        rows = draw_rows(self._weight, torch.rand(_QUEUE, generator=self._generator, dtype=torch.float64))
        level = torch.rand(_QUEUE, generator=self._generator, dtype=torch.float64)
        return rows, level * self._weight[rows]

    def _go_through(self, rows: Tensor, level: Tensor, n: int) -> int:
        """Accept or reject candidates in turn, until there are n picks; returns how many were accepted."""
        candidates, distance, before = self._pool.at(rows).cpu(), self._weight[rows], len(self._picks)
        if since := self._picks[self._num_included :]:
            distance = torch.minimum(distance, candidates.to_nearest(self._pool.at(torch.tensor(since)).cpu()))
            distance[torch.isin(rows, torch.tensor(since))] = 0
        while len(self._picks) < n and len(accepted := (level < distance).nonzero()):
            at = int(accepted[0, 0])
            self._picks.append(int(rows[at]))
            distance = torch.minimum(distance, candidates.to_nearest(candidates.of(at)))
            distance[rows == rows[at]] = 0
            level[: at + 1] = torch.inf  # these have been decided
        return len(self._picks) - before

    def _any_others(self, count: int) -> Tensor:
        """Draw among all rows that are left, which are copies of the picks."""
        free = torch.ones(len(self._pool), dtype=torch.bool)
        free[self._picks] = False
        rows = free.nonzero()[:, 0]
        return rows[torch.randperm(len(rows), generator=self._generator)[:count]]

    def _blocks(self) -> Iterator[slice]:
        return blocks(len(self._pool), 8 * self._pool.width)  # 8 MB in float64


def draw_rows(weight: Tensor, uniform: Tensor) -> Tensor:
    """Draw rows with probability proportional to their weight, with replacement.

    Args:
        weight: (N,) float64, at least 0, not all 0.
        uniform: (M,) float64, in [0, 1).

    Returns:
        (M,) int64.
    """
    reached = weight.cumsum(dim=0)
    rows = torch.searchsorted(reached, uniform * reached[-1], right=True)
    return rows.clamp_max(int(weight.nonzero()[-1, 0]))  # the product may round up to the total
