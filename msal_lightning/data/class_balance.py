"""Epochs in which each class has the same number of images."""

from typing import Literal

import torch
from torch import Generator, Tensor

Sampling = Literal["uniform", "balanced"]


def balanced_rows(labels: Tensor, generator: Generator) -> Tensor:
    """Draw as many rows as there are, the same number of each class, in random order.

    A class with too few rows repeats all of them before any row comes once more; of a class with too many, each epoch
    has others. What remains when the classes do not divide the rows goes to random classes.

    Args:
        labels: (n,) of an integer type.
        generator: draws them.

    Returns:
        (n,) int64 rows.
    """
    classes = torch.unique(labels)
    each, rest = divmod(len(labels), max(1, len(classes)))
    one_more = torch.zeros(len(classes), dtype=torch.int64)
    one_more[torch.randperm(len(classes), generator=generator)[:rest]] = 1
    drawn = [
        _repeated((labels == c).nonzero()[:, 0], each + more, generator)
        for c, more in zip(classes.tolist(), one_more.tolist(), strict=True)
    ]
    rows = torch.cat(drawn) if drawn else torch.empty(0, dtype=torch.int64)
    return rows[torch.randperm(len(rows), generator=generator)]


def _repeated(rows: Tensor, count: int, generator: Generator) -> Tensor:
    times = -(-count // len(rows))
    return torch.cat([rows[torch.randperm(len(rows), generator=generator)] for _ in range(times)] or [rows[:0]])[:count]
