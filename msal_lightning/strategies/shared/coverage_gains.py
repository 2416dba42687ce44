"""How much rows would add to the coverage of all rows, without a matrix of all pairs."""

import math

import torch
from torch import Tensor

from msal_lightning.strategies.shared.distances import type_of_products
from msal_lightning.strategies.shared.kernels import Kernel
from msal_lightning.strategies.shared.unit_rows import UnitRows

_TILE = 512  # rows and columns of a matrix of kernels; 1 MB, which a core keeps in its cache
_NOTHING = 1e-12  # a gain of this share of all weight is 0: rounding, where copies of a row are covered


class CoverageGains:
    """The gain of row x is the sum over all rows n of ``weight_n · max(0, k(n, x) - cover_n)``.

    Bounds come from float32 products, widened by their largest rounding error; exact gains are computed in float64.

    Args:
        x: N rows.
        kernel: between rows.
        weight: (N,) float64, 0 to 1, on the device of the rows.
    """

    def __init__(self, x: UnitRows, kernel: Kernel, weight: Tensor) -> None:
        self._x, self._kernel, self._weight = x, kernel, weight
        self._nothing = _NOTHING * float(weight.sum())
        self._dtype = type_of_products()
        if kernel.rounding(x.width, self._dtype) > 0.1:
            self._dtype = torch.float64  # a bandwidth that float32 does not resolve
        self._rounding = math.exp(kernel.rounding(x.width, self._dtype))
        self._rounding_of_sums = 1 + (_TILE + 8) * torch.finfo(self._dtype).eps

    def bounds(self, cover: Tensor) -> Tensor:
        """Compute a number that the gain of no row exceeds: (N,) float64 for cover (N,) float64.

        The kernel is symmetric, so that half of all pairs suffice.
        """
        bound = torch.zeros_like(self._weight)
        cover, weight = cover.to(self._dtype), self._weight.to(self._dtype)
        for first in self._tiles():
            rows = self._x.at(first, self._dtype)
            for second in self._tiles(first.start):
                near = self._kernel.of(rows, self._x.at(second, self._dtype)).mul_(self._rounding)
                bound[first] += (near - cover[second]).clamp_(min=0) @ weight[second]
                if second != first:
                    bound[second] += weight[first] @ near.sub_(cover[first, None]).clamp_(min=0)
        return bound * self._rounding_of_sums

    def losses(self, raised: Tensor, before: Tensor, after: Tensor) -> Tensor:
        """Compute how much the gain of each row falls at least when the cover of some rows rises: (N,) float64.

        Args:
            raised: (R,) int64, the rows n whose cover rises.
            before: (R,) float64, their cover before.
            after: (R,) float64, their cover after.
        """
        loss = torch.zeros_like(self._weight)
        before, after, weight = (values.to(self._dtype) for values in (before, after, self._weight[raised]))
        for start in range(0, len(raised), _TILE):
            part = slice(start, start + _TILE)
            others, low, high = self._x.at(raised[part], self._dtype), before[part], after[part]
            for tile in self._tiles():
                near = self._kernel.of(self._x.at(tile, self._dtype), others).mul_(1 / self._rounding)
                loss[tile] += near.clamp_(min=low, max=high).sub_(low) @ weight[part]
        return loss / self._rounding_of_sums

    def exact(self, rows: Tensor, cover: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the gains of a few rows, (M,) float64, and the kernel of all rows with them, (N, M) float64."""
        x = self._x.at(rows, torch.float64)
        near = torch.empty(len(cover), len(rows), dtype=torch.float64, device=cover.device)
        for part in self._tiles():
            near[part] = self._kernel.of(self._x.at(part, torch.float64), x)
        gains = self._weight @ (near - cover[:, None]).clamp_(min=0)
        return gains.masked_fill(gains <= self._nothing, 0.0), near

    def cover_of(self, centers: UnitRows) -> Tensor:
        """Compute the largest kernel of each row with a center, 0 without centers: (N,) float64."""
        cover = torch.zeros_like(self._weight)
        for part in self._tiles():
            x = self._x.at(part, torch.float64)
            for start in range(0, len(centers), _TILE):
                near = self._kernel.of(x, centers.at(slice(start, start + _TILE), torch.float64))
                cover[part] = torch.maximum(cover[part], near.amax(dim=1))
        return cover

    def _tiles(self, start: int = 0) -> list[slice]:
        return [slice(first, min(first + _TILE, len(self._x))) for first in range(start, len(self._x), _TILE)]
