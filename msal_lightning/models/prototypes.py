"""Maximally separated prototypes (Eq. 1) and their head and cosines.

[0] Kasarla et al., 2022, Maximum Class Separation as Inductive Bias in One Matrix, arXiv 2206.08704
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Up to here one matrix product is as fast as the O(C) form; beyond it the matrix costs C² memory and time. By
# benchmarks/prototype_head.py on two CPU cores, batch 256: 0.08 ms against 0.16 ms at C = 128, 0.23 against 0.19 at
# C = 256, 0.86 against 0.22 at C = 512.
DENSE_UP_TO = 256
_BLOCK = 2**19  # logits, 2 MB
_EPS = 1e-12  # of a norm; torch.nn.functional.normalize has the same


def _scales(num_classes: int) -> Tensor:
    """The diagonal ``s_r = sqrt(C/(C-1) · (k-r)/(k-r+1))`` of Eq. 1, float64, shape (C-1,), with ``k = C-1``."""
    k = num_classes - 1
    left = torch.arange(k, 0, -1, dtype=torch.float64)  # k - r
    return (num_classes / k * left / (left + 1)).sqrt()


def _check(num_classes: int, radius: float) -> None:
    if num_classes < 2:
        raise ValueError(
            f"num_classes must be at least 2, got {num_classes}: one class cannot be separated from another"
        )
    if not (math.isfinite(radius) and radius > 0):
        raise ValueError(f"radius must be a positive number, got {radius}: set model.radius to 1.0 or, for MNIST, 0.1")


def simplex_prototypes(num_classes: int, radius: float = 1.0) -> Tensor:
    """The C vertices of a regular simplex in C-1 dimensions: prototypes as far apart as they can be (Eq. 1).

    Closed form of the paper's recursion: row r has ``s_r`` on the diagonal, ``-s_r/(k-r)`` to its right, 0 below.

    Args:
        num_classes: C, at least 2.
        radius: length of each prototype, the paper's rho.

    Returns:
        (C-1, C) float64, one prototype a column: ``PᵀP`` is ``radius²`` on the diagonal, ``-radius²/(C-1)`` elsewhere.

    Raises:
        ValueError: fewer than two classes, or a radius that is not positive.
    """
    _check(num_classes, radius)
    k = num_classes - 1
    scale = _scales(num_classes)
    right = scale / torch.arange(k, 0, -1, dtype=torch.float64)
    prototypes = torch.triu(-right[:, None].expand(k, num_classes), diagonal=1)
    prototypes.diagonal().copy_(scale)
    return prototypes * radius


class PrototypeHead(nn.Module):
    """The fixed last layer: logits ``o = rho · Pᵀx``, nothing to train, always in float32.

    With many classes P is never built: ``Pᵀx = [s·x, 0] + [0, cumsum(-s/(k-r)·x)]`` takes O(C) time and memory.

    Args:
        num_classes: C.
        radius: the paper's rho.

    Raises:
        ValueError: fewer than two classes, or a radius that is not positive.
    """

    prototypes: Tensor | None
    scale: Tensor
    right: Tensor

    def __init__(self, num_classes: int, radius: float = 1.0) -> None:
        super().__init__()
        _check(num_classes, radius)
        self.num_classes = num_classes
        self.radius = radius
        # Not persistent: a checkpoint need not carry what follows from num_classes and radius.
        if num_classes <= DENSE_UP_TO:
            self.register_buffer("prototypes", simplex_prototypes(num_classes, radius).float(), persistent=False)
        else:
            self.prototypes = None
            scale = _scales(num_classes) * radius
            left = torch.arange(num_classes - 1, 0, -1, dtype=torch.float64)
            self.register_buffer("scale", scale.float(), persistent=False)
            self.register_buffer("right", (-scale / left).float(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of a batch.

        Args:
            x: (N, C-1) of any float type.

        Returns:
            (N, C) float32.
        """
        # The cosines of Eq. 2 decide between near neighbours: half precision would turn them into ties.
        with torch.autocast(x.device.type, enabled=False):
            x = x.float()
            if self.prototypes is not None:
                return x @ self.prototypes
            logits = F.pad(x * self.right, (1, 0)).cumsum_(dim=-1)  # (N, C), in place: one tensor of that size less
            logits[..., :-1].addcmul_(x, self.scale)
            return logits

    def extra_repr(self) -> str:
        """Return the text that ``print(model)`` shows."""
        return f"num_classes={self.num_classes}, radius={self.radius}"


class LinearHead(nn.Linear):
    """A trainable linear layer that computes in float32 under autocast, since all scores are in float32.

    Args:
        in_features: D, length of an embedding.
        out_features: C for the linear head, C-1 below a :class:`PrototypeHead`.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Map (N, D) of any float type to (N, out_features) float32."""
        with torch.autocast(input.device.type, enabled=False):
            return super().forward(input.float())


def cosine_to_prototypes(logits: Tensor) -> Tensor:
    """Cosine of each sample to every prototype (Eq. 2), from the logits of a :class:`PrototypeHead` alone.

    Since ``PPᵀ = C/(C-1)·I``, ``‖o‖`` is ``‖x‖`` up to a constant and ``cos_c = sqrt(C/(C-1)) · o_c / ‖o‖`` for any
    radius. Logits of another head give meaningless numbers.

    Args:
        logits: (N, C) of a prototype head.

    Returns:
        (N, C) float32 in [-1, 1]; a row of zeros, which points nowhere, gives zeros.
    """
    logits, norm, factor = _in_range(logits)
    return (logits / norm).mul_(factor).clamp_(-1.0, 1.0)


def largest_cosine(logits: Tensor) -> Tensor:
    """Cosine of each sample to its nearest prototype: ``max_c cos_c``, bit by bit, without the others.

    Rounding keeps the order, so the largest of the quotients is the quotient of the largest.

    Args:
        logits: (N, C) of a prototype head.

    Returns:
        (N,) float32 in [-1, 1].
    """
    # in blocks that stay in a core's cache: with very many classes, memory would be the limit
    rows = max(1, _BLOCK // logits.shape[-1])
    return torch.cat([_largest_cosine(block) for block in torch.split(logits, rows)])


def _largest_cosine(logits: Tensor) -> Tensor:
    logits, norm, factor = _in_range(logits)
    return (logits.amax(dim=-1) / norm[..., 0] * factor).clamp(-1.0, 1.0)


def _in_range(logits: Tensor) -> tuple[Tensor, Tensor, float]:
    """Logits (N, C) divided by the largest of each row, their norms (N, 1), and what makes their quotient a cosine."""
    logits = logits.float()
    num_classes = logits.shape[-1]
    # divided first: squares of 1e-30 or 1e30 would leave the range of float32
    largest = torch.maximum(logits.amax(dim=-1, keepdim=True), -logits.amin(dim=-1, keepdim=True))
    logits = logits / largest.clamp_min(torch.finfo(torch.float32).tiny)
    norm = torch.linalg.vector_norm(logits, dim=-1, keepdim=True).clamp_min(_EPS)
    return logits, norm, math.sqrt(num_classes / (num_classes - 1))
