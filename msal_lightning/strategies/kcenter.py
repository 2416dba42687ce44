"""k-center sampling, also known as core-set."""

import torch
from torch import Generator, Tensor

from msal_lightning.strategies.base import Strategy
from msal_lightning.strategies.outputs import PoolOutputs
from msal_lightning.strategies.shared.farthest_first import FarthestFirst


class KCenter(Strategy):
    """Repeatedly, the image whose embedding is farthest from all labeled and chosen images.

    It keeps one distance per image, never a matrix, and computes again only those that may be the largest. Without a
    labeled set the first image is random.

    [0] Sener and Savarese, 2018, Active Learning for Convolutional Neural Networks: A Core-Set Approach,
    arXiv 1708.00489, Algorithm 1
    """

    needs = frozenset({"embeddings"})
    on_device = frozenset({"embeddings"})
    embeddings_by_rows = True
    needs_labeled = True

    def shortlist_size(self, n: int) -> None:  # noqa: D102
        return None

    def select(self, shortlist: PoolOutputs, labeled: PoolOutputs | None, n: int, generator: Generator) -> Tensor:  # noqa: D102
        x = shortlist.embedding_rows()
        picks: list[int] = []
        if labeled is not None and len(labeled):
            centers = labeled.require("embeddings")
        else:
            picks.append(int(torch.randint(len(x), (), generator=generator)))
            centers = x[torch.tensor(picks, device=x.device)]
        farthest = FarthestFirst(x, centers, picks)
        while len(picks) < n:
            picks.append(farthest.next())
        return torch.tensor(picks)
