"""GALAXY: graph-based active learning at the extreme."""

import torch
from torch import Generator, Tensor

from msal_lightning.strategies.base import Strategy
from msal_lightning.strategies.outputs import PoolOutputs
from msal_lightning.strategies.shared.class_order import UNKNOWN, class_scores, with_labeled


class GALAXY(Strategy):
    """Images halfway between two labeled images of which one is in the class; made for unbalanced classes.

    All images, labeled ones too, stand in a line for each class, by their probability of the class minus the largest
    one. Classes take turns, in random order; with two classes there is one line. The next image is the middle of the
    shortest gap between neighbouring labeled images of which only one is in the class. If all such neighbours touch,
    it is the image nearest to where they do; without such neighbours it is random.

    The authors get each label before the next selection. Labels of this batch are unknown, so a selected image counts
    as labeled with the class that the model predicts. The authors' first code takes classes in turn, as here, and
    LabelBench's draws them.

    [0] Zhang et al., 2022, GALAXY: Graph-based Active Learning at the Extreme, arXiv 2202.01402, Algorithm 2
    """

    needs_labeled = True
    needs_labels = True

    def shortlist_size(self, n: int) -> None:  # noqa: D102
        return None

    def select(self, shortlist: PoolOutputs, labeled: PoolOutputs | None, n: int, generator: Generator) -> Tensor:  # noqa: D102
        probabilities, labels = with_labeled(shortlist, labeled)
        predicted = probabilities.argmax(dim=1)
        num_classes = probabilities.shape[1]
        scores = class_scores(probabilities) if num_classes > 2 else probabilities[:, :1]
        lines = scores.argsort(dim=0, descending=True, stable=True).T
        picks: list[int] = []
        turns: list[int] = []
        while len(picks) < n:
            turns = turns or torch.randperm(len(lines), generator=generator).tolist()
            k = turns.pop()
            known = labels[lines[k]]
            place = _next_place((known == k).long().masked_fill_(known == UNKNOWN, UNKNOWN), generator)
            picks.append(int(lines[k, place]))
            labels[picks[-1]] = predicted[picks[-1]]
        return torch.tensor(picks)


def _next_place(state: Tensor, generator: Generator) -> int:
    """Return the place of the next image in a line.

    Args:
        state: (N,) int64, 1 for a labeled image of the class, 0 for another labeled one, -1 for the pool.
        generator: for a random place.
    """
    free = (state == UNKNOWN).nonzero()[:, 0]
    places = (state != UNKNOWN).nonzero()[:, 0]
    differ = state[places[1:]] != state[places[:-1]]
    left, right = places[:-1][differ], places[1:][differ]
    gap = right - left - 1
    if (gap > 0).any():
        shortest = int(gap.masked_fill(gap == 0, len(state)).argmin())
        return int(left[shortest] + right[shortest]) // 2
    if not len(left):
        return int(free[torch.randint(len(free), (), generator=generator)])
    # steps from an image to the cut before it and to the cut after it
    after = torch.searchsorted(right, free)
    to_next = (right[after.clamp_max(len(right) - 1)] - free).masked_fill(after == len(right), len(state))
    to_last = (free - left[(after - 1).clamp_min(0)]).masked_fill(after == 0, len(state))
    return int(free[torch.minimum(to_next, to_last).argmin()])
