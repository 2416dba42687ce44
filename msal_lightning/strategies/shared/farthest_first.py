"""Farthest-first traversal that reads all rows once."""

from typing import NamedTuple

import torch
from torch import Tensor

from msal_lightning.strategies.rows import Rows
from msal_lightning.strategies.shared.distances import (
    TIE,
    blocks,
    first_of_largest,
    type_of_products,
    without_residue,
)

_HELD = 512  # rows at a time whose distances are up to date; 2 MB of width 512, which a core keeps in its cache
_SAMPLE = 4096  # rows for the mean


class _Points(NamedTuple):
    """Some rows as the distances see them: (M, D) float64 on their device, and their squared lengths."""

    x: Tensor
    square: Tensor


class FarthestFirst:
    """Takes, again and again, the row that is farthest from its nearest center, and makes it a center.

    A new center only lowers distances, so that an old distance is an upper bound. Rows are looked at again only while
    their bound is the largest (the lazy greedy algorithm). The first bounds come from float32 products, widened by
    their largest rounding error; what decides is computed in float64. So the rows taken do not depend on the device,
    except that rows whose distances are equal to twelve digits count as equally far, and the lower one is taken.

    It reads the rows in two ways only: a block after another, once, and a few hundred at a time.

    [0] Minoux, 1978, Accelerated greedy algorithms for maximizing submodular set functions

    Args:
        x: (N, D), on any device.
        centers: (K, D), K at least 1, on the same device.
        taken: rows of x that are never taken.
    """

    def __init__(self, x: Rows, centers: Tensor, taken: list[int]) -> None:
        self._x, self._centers = x, centers
        self._picks: list[int] = []
        # distances to a point near the rows have fewer digits to lose; which point does not matter
        self._origin = x[:: max(1, len(x) // _SAMPLE)].double().mean(dim=0)
        self._bound = self._first_bounds()  # of the squared distance to the nearest center
        self._bound[taken] = -torch.inf
        self._num_seen = torch.zeros(len(x), dtype=torch.int64)  # picks that the bound includes
        self._is_exact = torch.zeros(len(x), dtype=torch.bool)  # whether it includes the given centers in float64
        self._held: Tensor
        self._near: Tensor  # squared distances of the held rows
        self._points: Tensor
        self._square: Tensor
        self._hold(torch.arange(0), self._points_of(torch.arange(0)))

    def next(self) -> int:
        """Take a row; fewer than N rows may have been taken."""
        best = self._decided()
        if best is None:
            best = self._refill()
        row = int(self._held[best])
        self._picks.append(row)
        to_row = self._square + (self._square[best] - 2 * (self._points @ self._points[best]))
        self._near = torch.minimum(self._near, without_residue(to_row, self._square))
        self._near[best] = -torch.inf
        return row

    # ---------------------------------------------------------------- all rows

    def _first_bounds(self) -> Tensor:
        """Bounds from the given centers, (N,) float64 on the CPU."""
        dtype = type_of_products()
        origin = self._origin.to(dtype)
        centers = self._centers.to(dtype) - origin
        # a product of D terms is wrong by at most D·eps/2 of both lengths, a square too; the rest is for the sums
        widened = 1 + (self._x.shape[1] + 4) * torch.finfo(dtype).eps
        square = widened * centers.square().sum(dim=1)
        # one tensor: parts that stay between freed blocks would fragment memory
        found = torch.empty(len(self._x), dtype=dtype, device=self._x.device)
        for part in blocks(len(self._x), max(centers.shape)):
            x = self._x[part].to(dtype) - origin
            nearest = torch.addmm(square, x, centers.T, alpha=-2).amin(dim=1)
            found[part] = nearest + widened * x.square().sum(dim=1)
        # a square that overflows float32 gives NaN, and tells nothing
        return found.cpu().double().nan_to_num(torch.inf, torch.inf)

    def _refill(self) -> int:
        """Hold the farthest rows, looking at more of them until it is certain which is the next one."""
        self._bound[self._held], self._num_seen[self._held] = self._near, len(self._picks)
        while True:
            rows = _largest(self._bound, _HELD)
            points = self._points_of(rows)
            is_new = self._include_picks(rows, points)
            rows, points = self._still_farthest(rows, points)
            is_new |= self._make_exact(rows, points)
            self._hold(*self._still_farthest(rows, points))
            if (best := self._decided()) is not None:
                return best
            if not is_new:  # rows that differ by less than rounding
                return first_of_largest(self._near)

    def _include_picks(self, rows: Tensor, points: _Points) -> bool:
        """Lower the bounds of rows by picks that they do not include; returns whether there were any."""
        seen = self._num_seen[rows[self._bound[rows] > 0]]  # a distance of 0 stays 0
        if not len(seen) or int(seen.min()) == len(self._picks):
            return False
        nearest = self._nearest(points, self._x[torch.tensor(self._picks[int(seen.min()) :], device=self._x.device)])
        self._bound[rows] = torch.minimum(self._bound[rows], nearest)
        self._num_seen[rows] = len(self._picks)
        return True

    def _make_exact(self, rows: Tensor, points: _Points) -> bool:
        """Compute the distances to the given centers in float64, once for a row; returns whether any was missing."""
        if self._is_exact[rows].all():
            return False
        # not higher than the bound, which includes picks, nor than itself, which the bound of float32 does not exceed
        self._bound[rows] = torch.minimum(self._bound[rows], self._nearest(points, self._centers))
        self._is_exact[rows] = True
        return True

    def _still_farthest(self, rows: Tensor, points: _Points) -> tuple[Tensor, _Points]:
        """Leave out rows that are nearer than the bound of another row."""
        others = self._bound.clone()
        others[rows] = -torch.inf
        keep = self._bound[rows] >= others.max() * (1 - TIE)
        on_device = keep.to(points.x.device)
        return rows[keep], _Points(points.x[on_device], points.square[on_device])

    def _nearest(self, points: _Points, centers: Tensor) -> Tensor:
        """Squared distances of a few points to the nearest center, float64 on the CPU."""
        nearest = torch.full_like(points.square, torch.inf)
        for part in blocks(len(centers), max(points.x.shape)):
            other = centers[part].double() - self._origin
            distance = torch.addmm(other.square().sum(dim=1), points.x, other.T, alpha=-2)
            nearest = torch.minimum(nearest, distance.amin(dim=1))
        return without_residue(nearest.add_(points.square), points.square).cpu()

    def _points_of(self, rows: Tensor) -> _Points:
        x = self._x[rows.to(self._x.device)].double() - self._origin
        return _Points(x, x.square().sum(dim=1))

    # ---------------------------------------------------------------- rows that are held

    def _hold(self, rows: Tensor, points: _Points) -> None:
        """Hold rows whose distances are up to date: ``rows`` ascending."""
        self._held, self._near = rows, self._bound[rows]
        self._points, self._square = points.x.cpu(), points.square.cpu()
        others = self._bound.clone()
        others[rows] = -torch.inf
        self._farthest_other = float(others.max())
        self._first_other = first_of_largest(others)

    def _decided(self) -> int | None:
        """Which held row is the next one; None if a row that is not held may be farther."""
        if not len(self._held):
            return None
        best = first_of_largest(self._near)
        farthest = float(self._near[best])
        if farthest * (1 - TIE) > self._farthest_other:
            return best
        # others may be as far, but not farther: then the first row is taken
        is_tie = farthest >= self._farthest_other * (1 - TIE) and int(self._held[best]) < self._first_other
        return best if is_tie else None


def _largest(values: Tensor, size: int) -> Tensor:
    """Ascending rows of the largest values; of equal ones, which differ by rounding only, the first."""
    if size >= len(values):
        return torch.arange(len(values))
    least = values.topk(size).values[-1]
    above = (values > least * (1 + TIE)).nonzero()[:, 0]
    equal = ((values >= least * (1 - TIE)) & (values <= least * (1 + TIE))).nonzero()[:, 0]
    return torch.cat([above, equal[: size - len(above)]]).sort().values
