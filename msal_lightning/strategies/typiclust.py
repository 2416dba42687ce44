"""TypiClust."""

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from msal_lightning.strategies._distances import blocks
from msal_lightning.strategies._kmeans import kmeans
from msal_lightning.strategies.base import Strategy
from msal_lightning.strategies.outputs import PoolOutputs


class TypiClust(Strategy):
    """The most typical image of each large cluster in which nothing is labeled yet; made for few labels.

    Embeddings on the unit sphere, labeled and pool together, fall into as many clusters as there will be labels.
    Clusters are visited from the fewest labels, then the largest, again and again; each gives the image with the
    smallest mean distance to its nearest neighbours in the cluster. A cluster's size counts its labeled images too, as
    in the authors' code. The paper takes self-supervised embeddings; these are the model's own.

    [0] Hacohen, Dekel and Weinshall, 2022, Active Learning on a Budget: Opposite Strategies Suit High and Low Budgets,
    arXiv 2202.02794

    Args:
        neighbours: of the mean distance; at most half of a cluster. 20 in the paper.
        max_clusters: most clusters. 500 in the authors' code.
        min_cluster_size: only clusters of more images than this are visited, the others when those have no pool image
            left. 5 in the authors' code, which leaves the others out altogether.

    Raises:
        ValueError: ``neighbours`` or ``max_clusters`` is below 1, or ``min_cluster_size`` is below 0.
    """

    needs = frozenset({"embeddings"})
    needs_labeled = True

    def __init__(self, neighbours: int = 20, max_clusters: int = 500, min_cluster_size: int = 5) -> None:
        least = {
            "neighbours": (neighbours, 1),
            "max_clusters": (max_clusters, 1),
            "min_cluster_size": (min_cluster_size, 0),
        }
        for key, (value, bound) in least.items():
            if value < bound:
                raise ValueError(f"query.{key} must be at least {bound}, got {value}: see TypiClust's defaults")
        self.neighbours = neighbours
        self.max_clusters = max_clusters
        self.min_cluster_size = min_cluster_size

    def shortlist_size(self, n: int) -> None:  # noqa: D102
        return None

    def select(self, shortlist: PoolOutputs, labeled: PoolOutputs | None, n: int, generator: Generator) -> Tensor:  # noqa: D102
        known = 0 if labeled is None else len(labeled)
        own = shortlist.require("embeddings")
        x = F.normalize(own if labeled is None else torch.cat([labeled.require("embeddings"), own]).float(), dim=1)
        num_clusters = min(known + n, self.max_clusters, len(x))
        _, cluster = kmeans(x, num_clusters, generator)
        num_known = torch.bincount(cluster[:known], minlength=num_clusters).tolist()
        size = torch.bincount(cluster, minlength=num_clusters).tolist()
        x, cluster = x[known:], cluster[known:]
        free = [(cluster == c).nonzero()[:, 0] for c in range(num_clusters)]
        order = sorted(range(num_clusters), key=lambda c: (num_known[c], -size[c]))
        large = [c for c in order if size[c] > self.min_cluster_size]
        picks: list[int] = []
        for visited in (large, order):  # small clusters are often outliers: only where the large ones are used up
            while len(picks) < n and (left := [c for c in visited if len(free[c])]):
                for c in left[: n - len(picks)]:
                    best = int(_mean_distance(x[free[c]], self.neighbours).argmin())
                    picks.append(int(free[c][best]))
                    free[c] = torch.cat([free[c][:best], free[c][best + 1 :]])
        return torch.tensor(picks)


def _mean_distance(x: Tensor, neighbours: int) -> Tensor:
    """Mean distance of each row to its nearest others, at most half of them: (M,); low = typical."""
    k = min(neighbours, max(1, len(x) // 2), len(x) - 1)
    means = []
    for part in blocks(len(x), len(x)):
        nearest = torch.cdist(x[part], x).topk(k + 1, largest=False).values  # the row itself is among them, at 0
        means.append(nearest.sum(dim=1) / max(1, k))
    return torch.cat(means)
