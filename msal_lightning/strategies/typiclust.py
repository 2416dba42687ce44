"""TypiClust."""

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from msal_lightning.strategies.base import Strategy
from msal_lightning.strategies.outputs import PoolOutputs
from msal_lightning.strategies.shared.changed_rows import ChangedRows, JoinedRows
from msal_lightning.strategies.shared.distances import blocks
from msal_lightning.strategies.shared.kmeans import clusters, held_if_few


class TypiClust(Strategy):
    """The most typical image of each large cluster without a label; designed for few labels.

    Embeddings of labeled set and pool, on the unit sphere, are clustered into as many clusters as there will be labels.
    Clusters are visited repeatedly, first by fewest labels, then by largest size. Each visit selects the image with the
    smallest mean distance to its nearest neighbours in the cluster. A cluster's size includes its labeled images, as in
    the authors' code. The paper uses self-supervised embeddings; this class uses the model's own.

    Of more than 100,000 images the embeddings of one cluster at a time are in memory, and k-means sees a sample of
    100,000 random images, or 256 for each cluster if these are more. Time grows with the square of a cluster's size.

    [0] Hacohen, Dekel and Weinshall, 2022, Active Learning on a Budget: Opposite Strategies Suit High and Low Budgets,
    arXiv 2202.02794

    Args:
        neighbours: number of neighbours in the mean distance; at most half of a cluster. 20 in the paper.
        max_clusters: largest number of clusters. 500 in the authors' code.
        min_cluster_size: clusters with more images than this are visited first; smaller clusters only when the large
            ones have no pool image left. 5 in the authors' code, which ignores small clusters.

    Raises:
        ValueError: ``neighbours`` or ``max_clusters`` is below 1, or ``min_cluster_size`` is below 0.
    """

    needs = frozenset({"embeddings"})
    embeddings_by_rows = True
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
        own = shortlist.embedding_rows()
        joined = own if labeled is None else JoinedRows(labeled.require("embeddings"), own)
        x = held_if_few(ChangedRows(joined, lambda rows: F.normalize(rows, dim=1)))
        num_clusters = min(known + n, self.max_clusters, len(x))
        cluster = clusters(x, num_clusters, generator)
        num_known = torch.bincount(cluster[:known], minlength=num_clusters).tolist()
        size = torch.bincount(cluster, minlength=num_clusters).tolist()
        free = [known + (cluster[known:] == c).nonzero()[:, 0] for c in range(num_clusters)]
        order = sorted(range(num_clusters), key=lambda c: (num_known[c], -size[c]))
        large = [c for c in order if size[c] > self.min_cluster_size]
        picks: list[int] = []
        for visited in (large, order):  # small clusters are often outliers, so they come last
            while len(picks) < n and (left := [c for c in visited if len(free[c])]):
                for c in left[: n - len(picks)]:
                    best = int(_mean_distance(x[free[c]], self.neighbours).argmin())
                    picks.append(int(free[c][best]))
                    free[c] = torch.cat([free[c][:best], free[c][best + 1 :]])
        return torch.tensor(picks) - known


def _mean_distance(x: Tensor, neighbours: int) -> Tensor:
    """Return the mean distance of each row to its nearest neighbours, at most half of all rows: (M,); low = typical."""
    k = min(neighbours, max(1, len(x) // 2), len(x) - 1)
    means = []
    for part in blocks(len(x), len(x)):
        nearest = torch.cdist(x[part], x).topk(k + 1, largest=False).values  # includes the row itself, at 0
        means.append(nearest.sum(dim=1) / max(1, k))
    return torch.cat(means)
