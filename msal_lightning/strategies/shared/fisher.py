"""Fisher information at the last layer, as the factors of its rows."""

from typing import Self

import torch
from torch import Tensor

from msal_lightning.strategies.shared.distances import blocks


class Fishers:
    """Fisher information ``F_x = (diag p - p pᵀ) ⊗ h hᵀ = V_xᵀ V_x`` of N rows, in float64.

    No row's matrix is ever built. Class vectors add up to 0, so C - 1 coordinates suffice: P = (C - 1)·D parameters.

    Args:
        probabilities: (N, C).
        embeddings: (N, D).
    """

    def __init__(self, probabilities: Tensor, embeddings: Tensor) -> None:
        self._p, self._h = probabilities.double(), embeddings.double()
        num_classes = probabilities.shape[1]
        full, _ = torch.linalg.qr(torch.ones(num_classes, 1, dtype=torch.float64), mode="complete")
        self._basis = full[:, 1:]  # orthogonal to (1, ..., 1)
        self.num_parameters = (num_classes - 1) * embeddings.shape[1]

    def __len__(self) -> int:
        return len(self._p)

    def classes(self, rows: Tensor | slice) -> Tensor:
        """Return ``sqrt(p_k) (e_k - p)`` for each class k: (M, C, C - 1)."""
        p = self._p[rows]
        vectors: Tensor = p.sqrt()[:, :, None] * (self._basis - (p @ self._basis)[:, None])
        return vectors

    def factor(self, row: int) -> Tensor:
        """Return V_x of one row: (C, P)."""
        return (self.classes(torch.tensor([row]))[0][:, :, None] * self._h[row]).flatten(1)

    def total(self) -> Tensor:
        """Return the sum over all rows: (P, P)."""
        width, depth = self._basis.shape[1], self._h.shape[1]
        total = torch.zeros(width, depth, width, depth, dtype=torch.float64)
        for part in blocks(len(self), self.num_parameters):
            factors, h = self.classes(part), self._h[part]
            weight = factors.mT @ factors
            for a in range(width):  # the other half is the same
                weighted = (weight[:, a, a:, None] * h[:, None]).flatten(1)
                total[a, :, a:] += (h.T @ weighted).view(depth, width - a, depth)
        for a in range(width):
            total[a + 1 :, :, a] = total[a, :, a + 1 :].permute(1, 2, 0)
        return total.view(self.num_parameters, self.num_parameters)

    def products(self, rows: Tensor | slice, matrix: Tensor) -> Tensor:
        """Return ``V_x matrix V_xᵀ`` of some rows: (M, C, C), for a symmetric (P, P) matrix."""
        h, factors = self._h[rows], self.classes(rows)
        width, depth = self._basis.shape[1], h.shape[1]
        bands = matrix.view(width, depth, width, depth)
        inner = h.new_zeros(len(h), width, width)
        for a in range(width):  # the other half is the same
            band = (h @ bands[a, :, a:].reshape(depth, -1)).view(len(h), width - a, depth)
            inner[:, a, a:] = (band @ h[:, :, None])[:, :, 0]
        inner += inner.triu(1).mT
        return factors @ inner @ factors.mT


class Design:
    """``tr(M⁻¹ F)`` while rows are added to M and removed from it, by the Woodbury identity.

    Args:
        rows: rows that may be added.
        weight: each row adds ``weight · F_x`` to M.
        start: M at first, (P, P).
        target: F, (P, P).
    """

    def __init__(self, rows: Fishers, weight: float, start: Tensor, target: Tensor) -> None:
        self._rows, self._weight, self._target = rows, weight, target
        self._inverse = torch.cholesky_inverse(torch.linalg.cholesky(start))
        self._sandwich = self._inverse @ target @ self._inverse

    def change(self, rows: Tensor, sign: int) -> Tensor:
        """Return by how much the trace falls if a row is added (sign 1), or rises if it is removed (-1): (M,)."""
        found = torch.empty(len(rows), dtype=torch.float64)
        for part in blocks(len(rows), self._rows.num_parameters):
            inner = self._weight * self._rows.products(rows[part], self._inverse)
            outer = self._weight * self._rows.products(rows[part], self._sandwich)
            inner = torch.eye(inner.shape[1], dtype=torch.float64) + sign * inner
            found[part] = torch.linalg.solve(inner, outer).diagonal(dim1=1, dim2=2).sum(dim=1)
        return found

    def update(self, row: int, sign: int) -> Self:
        """Add a row to M (sign 1), or remove it (-1)."""
        v = self._rows.factor(row) * self._weight**0.5
        w = self._inverse @ v.T
        of_target = self._sandwich @ v.T
        inner = torch.linalg.inv(sign * torch.eye(len(v), dtype=torch.float64) + v @ w)
        self._inverse -= w @ inner @ w.T
        cross = w @ inner @ of_target.T
        self._sandwich += w @ (inner @ (w.T @ self._target @ w) @ inner) @ w.T - cross - cross.T
        return self
