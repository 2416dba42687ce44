"""DIRECT: deep active learning under imbalance and label noise."""

import torch
from torch import Generator, Tensor

from msal_lightning.strategies.base import Strategy
from msal_lightning.strategies.outputs import PoolOutputs
from msal_lightning.strategies.shared.class_order import UNKNOWN, class_scores, with_labeled


class DIRECT(Strategy):
    """Images around the threshold that best separates a class from the others; for unbalanced classes and noisy labels.

    All images, labeled ones too, stand in a line for each class, by their probability of the class minus the largest
    one. Half of the batch, in equal parts for all classes, is drawn between the last labeled image of the class before
    any other and the first other behind all of the class, rare classes first. The rest, in equal parts, lies nearest to
    the threshold before which the class most outnumbers the others and behind which the others most outnumber it.

    The authors get labels within a batch, and shrink the region or move the threshold by them. Labels of this batch are
    unknown, which is their algorithm with as many annotators as images, except that the threshold rests on earlier
    labels alone. Therefore the middle of equally good thresholds is taken; the authors' code takes the first.

    [0] Zhang et al., 2024, DIRECT: Deep Active Learning under Imbalance and Label Noise, arXiv 2312.09196
    """

    needs_labeled = True
    needs_labels = True

    def shortlist_size(self, n: int) -> None:  # noqa: D102
        return None

    def select(self, shortlist: PoolOutputs, labeled: PoolOutputs | None, n: int, generator: Generator) -> Tensor:  # noqa: D102
        probabilities, labels = with_labeled(shortlist, labeled)
        num_classes = probabilities.shape[1]
        lines = class_scores(probabilities).argsort(dim=0, descending=True, stable=True).T
        free = labels == UNKNOWN
        picks: list[int] = []

        def take(rows: Tensor) -> None:
            free[rows] = False
            picks.extend(rows.tolist())

        sides = [_sides(labels[line], k) for k, line in enumerate(lines)]
        known = torch.bincount(labels[~free], minlength=num_classes)
        for k in known.argsort(stable=True).tolist():
            first, last = _region(sides[k])
            region = lines[k, first : last + 1]
            region = region[free[region]]
            take(region[torch.randperm(len(region), generator=generator)[: n // 2 // num_classes]])
        rest = n - len(picks)
        for i, k in enumerate(torch.randperm(num_classes, generator=generator).tolist()):
            line = lines[k, _around(_threshold(sides[k]), len(labels))]
            take(line[free[line]][: rest * (i + 1) // num_classes - rest * i // num_classes])
        return torch.tensor(picks)


def _sides(labels: Tensor, k: int) -> Tensor:
    """Turn the labels of a line into 1 for the class, -1 for others and 0 for unknown ones: (N,) int64."""
    return torch.where(labels == k, 1, -1).masked_fill_(labels == UNKNOWN, 0)


def _region(side: Tensor) -> tuple[int, int]:
    """Return the first and the last place where the class may end."""
    inside, outside = (side == 1).nonzero()[:, 0], (side == -1).nonzero()[:, 0]
    first = inside[inside < outside[0]] if len(outside) else inside
    last = outside[outside > inside[-1]] if len(inside) else outside
    return int(first[-1]) if len(first) else 0, int(last[0]) if len(last) else len(side) - 1


def _threshold(side: Tensor) -> int:
    """Return how many places lie before the best threshold, from 0 to N: the middle of the first equally good ones."""
    before = torch.cat([side.new_zeros(1), side.cumsum(dim=0)])
    quality = 2 * before - before[-1]  # the class minus others before it, and others minus the class behind it
    is_best = quality == quality.max()
    first = int(is_best.long().argmax())
    worse = (~is_best[first:]).nonzero()[:, 0]
    return first + (int(worse[0]) - 1 if len(worse) else len(side) - first) // 2


def _around(threshold: int, count: int) -> Tensor:
    """Return all places, in turn before and behind the threshold, the nearest first: (N,) int64."""
    place = torch.arange(count)
    step = torch.where(place < threshold, 2 * (threshold - 1 - place), 2 * (place - threshold) + 1)
    return step.argsort()
