"""k-center sampling, also known as core-set."""

import torch
from torch import Generator, Tensor

from msal_lightning.strategies._distances import centered_together, distance_to_nearest
from msal_lightning.strategies.base import Strategy
from msal_lightning.strategies.outputs import PoolOutputs


class KCenter(Strategy):
    """Repeatedly, the image whose embedding is farthest from all labeled and chosen images.

    It keeps one distance per image, never a matrix. Without a labeled set the first image is random.

    [0] Sener and Savarese, 2018, Active Learning for Convolutional Neural Networks: A Core-Set Approach,
    arXiv 1708.00489, Algorithm 1
    """

    needs = frozenset({"embeddings"})
    needs_labeled = True

    def shortlist_size(self, n: int) -> None:  # noqa: D102
        return None

    def select(self, shortlist: PoolOutputs, labeled: PoolOutputs | None, n: int, generator: Generator) -> Tensor:  # noqa: D102
        num_labeled = 0 if labeled is None else len(labeled)
        x, *known = centered_together(
            *(part.require("embeddings") for part in (shortlist, labeled) if part is not None)
        )
        square = x.square().sum(dim=1)
        if num_labeled:
            distance = distance_to_nearest(x, known[0]).square()
        else:
            distance = torch.zeros(len(x))
            distance[torch.randint(len(x), (), generator=generator)] = 1
        picks = torch.empty(n, dtype=torch.int64)
        for i in range(n):
            picks[i] = row = int(distance.argmax())
            to_row = square + (square[row] - 2 * (x @ x[row]))
            distance = to_row if not num_labeled and i == 0 else torch.minimum(distance, to_row)
            distance[picks[: i + 1]] = -torch.inf
        return picks
