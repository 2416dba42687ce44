"""DropQuery."""

from dataclasses import replace

import torch
from torch import Generator, Tensor

from msal_lightning.strategies.base import Strategy, check_mc_samples
from msal_lightning.strategies.outputs import PoolOutputs
from msal_lightning.strategies.shared.distances import centered, nearest_rows
from msal_lightning.strategies.shared.kmeans import kmeans


class DropQuery(Strategy):
    """Images whose predicted class changes if features are dropped out, the one nearest to each of b k-means centers.

    Candidates are the images whose prediction changes in more than half of the passes. If these are fewer than b, the
    images with the most changes are candidates, equal ones in random order; scikit-activeml does this too, and the
    authors' code has no answer. The dropout rate is ``model.dropout``; the paper drops 0.75 of the features.

    [0] Gupte et al., 2024, Revisiting Active Learning in the Era of Vision Foundation Models, arXiv 2401.14555

    Args:
        mc_samples: number of passes with dropout. 3 in the paper.

    Raises:
        ValueError: ``mc_samples`` is below 2.
    """

    needs = frozenset({"logits", "mc_logits", "embeddings"})

    def __init__(self, mc_samples: int = 3) -> None:
        check_mc_samples(mc_samples, "at least 2")
        self.mc_samples = mc_samples

    def shortlist_size(self, n: int) -> None:  # noqa: D102
        return None

    def condense(self, pool: PoolOutputs, n: int) -> PoolOutputs:
        """Keep the number of changed predictions instead of all logits."""
        changed = pool.require("mc_logits").argmax(dim=2) != pool.require("logits").argmax(dim=1)
        return replace(pool, logits=None, mc_logits=None, condensed=changed.sum(dim=0).double()[:, None])

    def select(self, shortlist: PoolOutputs, labeled: PoolOutputs | None, n: int, generator: Generator) -> Tensor:  # noqa: D102
        num_changed = shortlist.require("condensed")[:, 0]
        candidates = (num_changed > self.mc_samples / 2).nonzero()[:, 0]
        if len(candidates) <= n:
            order = torch.randperm(len(num_changed), generator=generator)
            return order[num_changed[order].argsort(descending=True, stable=True)[:n]]
        embeddings = centered(shortlist.require("embeddings")[candidates])
        centers, _ = kmeans(embeddings, n, generator)
        return candidates[nearest_rows(embeddings, centers)]
