"""A share of rows for each predicted class, chosen by coverage."""

import torch
from torch import Generator, Tensor

from msal_lightning.strategies.shared.greedy_coverage import GreedyCoverage, most_covering
from msal_lightning.strategies.shared.kernels import Kernel

_KERNEL = Kernel("gaussian", 1.0)  # MaxHerding's


def cover_classes(embeddings: Tensor, predicted: Tensor | None, share: int, n: int, generator: Generator) -> Tensor:
    """Choose rows that cover each class, then rows that cover all.

    Args:
        embeddings: (M, D), on the CPU.
        predicted: (M,) int64, class of each row; may be None if the share is 0.
        share: largest number of rows that each class takes first.
        n: number of rows in all, at most M.
        generator: draws among rows that add nothing.

    Returns:
        (n,) int64 rows, none twice.
    """
    picks = [torch.empty(0, dtype=torch.int64)]
    if share and predicted is not None:
        for c in torch.unique(predicted).tolist():
            rows = (predicted == c).nonzero()[:, 0]
            coverage = GreedyCoverage(embeddings[rows], _KERNEL)
            picks.append(rows[most_covering(coverage, len(rows), min(share, len(rows)), generator)])
    taken = torch.cat(picks)
    is_left = torch.ones(len(embeddings), dtype=torch.bool)
    is_left[taken] = False
    left = is_left.nonzero()[:, 0]
    coverage = GreedyCoverage(embeddings[left], _KERNEL, centers=embeddings[taken])
    return torch.cat([taken, left[most_covering(coverage, len(left), n - len(taken), generator)]])
