"""Greedy choice of the rows that cover most of all rows."""

import torch
from torch import Generator, Tensor

from msal_lightning.strategies._coverage_gains import CoverageGains
from msal_lightning.strategies._kernels import Kernel
from msal_lightning.strategies._unit_rows import UnitRows
from msal_lightning.strategies.rows import Rows

_STALE = 64  # rows whose bounds are lowered at first, to find out how large the largest gain may be
_MANY = 1024  # rows whose bounds are lowered at a time
_EXACT = 1  # rows whose gains are computed in float64 at first; twice as many whenever that does not decide
_TIE = 1e-10  # gains that differ by less are equal: float64 leaves 1e-14, float32 rows differ by 1e-7


class GreedyCoverage:
    """Takes, again and again, the row that adds most to the coverage of all rows.

    The cover of a row is its largest kernel with a taken row or a center. Taking a row only lowers the gains of the
    others, so that an old gain is an upper bound, and a row is looked at again only while its bound is the largest (the
    lazy greedy algorithm). Then only the rows whose cover rose since matter. Gains that decide are computed in float64,
    and gains that are equal to ten digits count as equal: the lowest row is taken. So the rows taken depend neither on
    the device nor on the number of threads.

    [0] Minoux, 1978, Accelerated greedy algorithms for maximizing submodular set functions

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
        self._raised: list[tuple[Tensor, Tensor]] = []  # for each pick, rows whose cover rose, and their cover before
        self._bound = self._gains.bounds(self._cover)
        self._seen = torch.zeros(len(x), dtype=torch.int64, device=x.device)  # picks that the bound includes

    def next(self) -> int | None:
        """Take a row; None if no row adds anything."""
        is_exact = torch.zeros_like(self._bound, dtype=torch.bool)
        best, gain, near, size = -1, 0.0, self._cover, _EXACT
        while len(rows := self._undecided(gain, is_exact, size)):
            gains, kernels = self._gains.exact(rows, self._cover)
            self._bound[rows], self._seen[rows], is_exact[rows] = gains, len(self._raised), True
            first = int((gains >= gains.max() * (1 - self._tie)).nonzero()[0, 0])
            row, most = int(rows[first]), float(gains.max())
            if most > gain * (1 + self._tie) or (most > 0 and most >= gain * (1 - self._tie) and row < best):
                best, near = row, kernels[:, first]
            gain, size = max(gain, most), min(2 * size, _STALE)
        if gain <= 0:
            return None
        self._take(best, near)
        return best

    def _take(self, row: int, near: Tensor) -> None:
        self._bound[row] = -torch.inf
        rose = (near > self._cover).nonzero()[:, 0]
        self._raised.append((rose, self._cover[rose]))
        self._cover[rose] = near[rose]

    def _undecided(self, gain: float, is_exact: Tensor, size: int) -> Tensor:
        """Return rows that may gain as much as that, those with the largest bounds: (M,) int64, ascending."""
        while True:
            bound = self._bound.masked_fill(is_exact | (self._bound <= 0), -torch.inf)
            is_fresh = self._seen == len(self._raised)
            least = max(gain, float(bound.masked_fill(~is_fresh, -torch.inf).max()))
            stale = ((bound >= least * (1 - self._tie)) & (bound > 0) & ~is_fresh).nonzero()[:, 0]
            if not len(stale):
                break
            self._lower(stale, least)
        rows = ((bound >= gain * (1 - self._tie)) & (bound > 0)).nonzero()[:, 0]
        return rows[bound[rows].topk(min(size, len(rows))).indices].sort().values

    # ---------------------------------------------------------------- bounds

    def _lower(self, stale: Tensor, least: float) -> None:
        """Let the bounds of some rows include all picks: the largest ones, or all rows if that is less work."""
        now = len(self._raised)
        num_raised = torch.tensor([len(rose) for rose, _ in self._raised], device=stale.device)
        since = num_raised.flip(0).cumsum(0).flip(0).clamp(max=len(self._bound))
        if least > 0 and int(since[self._seen[stale]].sum()) > len(self._bound) ** 2 // 2:
            self._bound = torch.minimum(self._bound, self._gains.bounds(self._cover))
            self._seen[:] = now
            return
        rows = stale[self._bound[stale].topk(min(_STALE if least <= 0 else _MANY, len(stale))).indices]
        # about twice as many rows rose for the oldest bound of a group as for the newest
        age = (now - self._seen[rows]).double().log2().long()
        for group in (rows[age == power] for power in torch.unique(age).tolist()):
            picks, column = torch.unique(self._seen[group], return_inverse=True)
            raised, before = self._raised_since(picks.tolist())
            self._bound[group] -= self._gains.losses(group, raised, before, column, self._cover[raised])
        self._seen[rows] = now

    def _raised_since(self, picks: list[int]) -> tuple[Tensor, Tensor]:
        """Rows whose cover rose since the first of some picks, (R,) int64, and their cover before each, (R, T)."""
        cover, covers = self._cover.clone(), []
        for pick in range(len(self._raised) - 1, picks[0] - 1, -1):
            rose, before = self._raised[pick]
            cover[rose] = before
            if pick in picks:
                covers.append(cover.clone())
        raised = (cover < self._cover).nonzero()[:, 0]
        return raised, torch.stack([cover[raised] for cover in reversed(covers)], dim=1)


def most_covering(coverage: GreedyCoverage, num_rows: int, n: int, generator: Generator) -> Tensor:
    """Take rows; when no row adds anything, draw the remaining ones at random: (n,) int64 on the CPU."""
    picks: list[int] = []
    while len(picks) < n and (row := coverage.next()) is not None:
        picks.append(row)
    order = torch.randperm(num_rows, generator=generator)
    is_free = torch.ones(num_rows, dtype=torch.bool)
    is_free[picks] = False
    return torch.cat([torch.tensor(picks, dtype=torch.int64), order[is_free[order]][: n - len(picks)]])
