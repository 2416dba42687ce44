"""Greedy choice of the rows that cover most of all rows."""

import torch
from torch import Generator, Tensor

from msal_lightning.strategies.rows import Rows
from msal_lightning.strategies.shared.coverage_gains import CoverageGains
from msal_lightning.strategies.shared.kernels import Kernel
from msal_lightning.strategies.shared.unit_rows import UnitRows

_MOST = 64  # rows whose gains are computed in float64 at a time; at first one, then twice as many each time
_TIE = 1e-10  # gains that differ by less are equal: float64 leaves 1e-14, float32 rows differ by 1e-7


class GreedyCoverage:
    """Takes, again and again, the row that adds most to the coverage of all rows.

    The cover of a row is its largest kernel with a taken row or a center. Each row has an upper bound on its gain. It
    falls with the cover of the rows near it: a taken row raises the cover of few rows, fewer the more are taken. Gains
    that decide are computed in float64, and gains that are equal to ten digits count as equal: the lowest row is taken.
    So the rows taken depend neither on the device nor on the number of threads.

    Args:
        x: (N, D), on any device.
        kernel: between rows of length 1.
        weight: (N,) float64, at least 0, on the same device: how much the cover of each row counts; all 1 by default.
        centers: (K, D), rows that cover from the start.
    """

    def __init__(self, x: Rows, kernel: Kernel, weight: Tensor | None = None, centers: Rows | None = None) -> None:
        weight = torch.ones(len(x), dtype=torch.float64, device=x.device) if weight is None else weight
        largest = float(weight.max()) if len(weight) else 0.0
        self._gains = CoverageGains(UnitRows(x), kernel, weight / largest if largest > 0 else weight)
        self._tie = max(_TIE, kernel.rounding(x.shape[1], torch.float64))
        self._cover = torch.zeros_like(weight) if centers is None else self._gains.cover_of(UnitRows(centers))
        self._bound = self._gains.bounds(self._cover)

    def next(self) -> int | None:
        """Take a row; None if no row adds anything."""
        is_exact = torch.zeros_like(self._bound, dtype=torch.bool)
        best, gain, near, size = -1, 0.0, self._cover, 1
        while len(rows := self._undecided(gain, is_exact, size)):
            gains, kernels = self._gains.exact(rows, self._cover)
            self._bound[rows], is_exact[rows] = gains, True
            first = int((gains >= gains.max() * (1 - self._tie)).nonzero()[0, 0])
            row, most = int(rows[first]), float(gains.max())
            if most > gain * (1 + self._tie) or (most > 0 and most >= gain * (1 - self._tie) and row < best):
                best, near = row, kernels[:, first]
            gain, size = max(gain, most), min(2 * size, _MOST)
        if gain <= 0:
            return None
        self._take(best, near)
        return best

    def _undecided(self, gain: float, is_exact: Tensor, size: int) -> Tensor:
        """Return rows that may gain as much as that, those with the largest bounds: (M,) int64, ascending."""
        rows = ((self._bound >= gain * (1 - self._tie)) & (self._bound > 0) & ~is_exact).nonzero()[:, 0]
        return rows[self._bound[rows].topk(min(size, len(rows))).indices].sort().values

    def _take(self, row: int, near: Tensor) -> None:
        """Let a row cover the others, and lower the bounds."""
        rose = (near > self._cover).nonzero()[:, 0]
        before = self._cover[rose]
        self._cover[rose] = near[rose]
        if 2 * len(rose) < len(near):
            self._bound -= self._gains.losses(rose, before, near[rose])
        else:  # half of all pairs are less
            self._bound = torch.minimum(self._bound, self._gains.bounds(self._cover))
        self._bound[row] = -torch.inf


def most_covering(coverage: GreedyCoverage, num_rows: int, n: int, generator: Generator) -> Tensor:
    """Take rows; when no row adds anything, draw the remaining ones at random: (n,) int64 on the CPU."""
    picks: list[int] = []
    while len(picks) < n and (row := coverage.next()) is not None:
        picks.append(row)
    order = torch.randperm(num_rows, generator=generator)
    is_free = torch.ones(num_rows, dtype=torch.bool)
    is_free[picks] = False
    return torch.cat([torch.tensor(picks, dtype=torch.int64), order[is_free[order]][: n - len(picks)]])
