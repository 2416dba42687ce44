"""The nearest neighbours of some rows among many, without a matrix of all distances."""

import torch
from torch import Tensor

from msal_lightning.strategies.rows import Rows
from msal_lightning.strategies.shared.unit_rows import UnitRows

_TILE = 2048  # rows at a time


def nearest_neighbours(x: Rows, of: Rows, k: int) -> Tensor:
    """Find the k nearest rows of each given row on the unit sphere, exactly.

    Args:
        x: (N, D), on any device.
        of: (M, D), on the same device.
        k: at most N.

    Returns:
        (M, k) int64 rows of x on the device, in no order.
    """
    rows, others = UnitRows(x), UnitRows(of)
    found = []
    for first in range(0, len(others), _TILE):
        to = others.at(slice(first, first + _TILE), torch.float64)
        near = torch.empty(len(to.x), 0, dtype=torch.float64, device=x.device)
        nearest = torch.empty(len(to.x), 0, dtype=torch.int64, device=x.device)
        for start in range(0, len(rows), _TILE):
            part = rows.at(slice(start, min(start + _TILE, len(rows))), torch.float64)
            distance = part.square - 2 * (to.x @ part.x.T)
            row = torch.arange(start, start + len(part.x), device=x.device).expand_as(distance)
            near, nearest = torch.cat([near, distance], dim=1), torch.cat([nearest, row], dim=1)
            near, order = near.topk(min(k, near.shape[1]), dim=1, largest=False)
            nearest = nearest.gather(1, order)
        found.append(nearest)
    return torch.cat(found) if found else torch.empty(0, k, dtype=torch.int64, device=x.device)
