"""Kernels of generalized coverage: how much a row covers another, 1 for a copy and less with distance."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from msal_lightning.strategies.shared.unit_rows import UnitRow

KernelName = Literal["gaussian", "student_t"]
_BETA = 0.5  # degrees of freedom of the Student t kernel in the authors' code


@dataclass(frozen=True)
class Kernel:
    """A kernel between rows on the unit sphere.

    Attributes:
        name: ``gaussian``, ``exp(-d²/sigma²)``, or ``student_t``, ``(1 + d²/(0.5·sigma²))^-0.75``.
        sigma: the bandwidth, above 0; a distance on the unit sphere, where 2 is the largest.
    """

    name: KernelName
    sigma: float

    def of(self, rows: UnitRow, others: UnitRow) -> Tensor:
        """Compute the kernel of each row and each other row: (M, K), of their type."""
        scale = -1 / self.sigma**2 if self.name == "gaussian" else 1 / (_BETA * self.sigma**2)
        scaled = torch.addmm(scale * others.square, rows.x, others.x.T, alpha=-2 * scale).add_(
            scale * rows.square[:, None]
        )
        if self.name == "gaussian":
            return scaled.exp_()
        return scaled.add_(1).pow_(-(_BETA + 1) / 2)

    def rounding(self, width: int, dtype: torch.dtype) -> float:
        """Return the largest share by which a computed kernel may differ from the true one.

        Args:
            width: D; a product of D terms of unit rows is wrong by at most D·eps/2.
            dtype: type of the rows.
        """
        slope = 1.0 if self.name == "gaussian" else (_BETA + 1) / (2 * _BETA)
        return torch.finfo(dtype).eps * ((width + 8) * slope / self.sigma**2 + 16)
