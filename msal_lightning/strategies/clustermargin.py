"""Cluster-Margin."""

import math

import torch
from torch import Generator, Tensor

from msal_lightning.strategies.base import PrefilterStrategy, by_score
from msal_lightning.strategies.margin import Margin
from msal_lightning.strategies.outputs import PoolOutputs
from msal_lightning.strategies.shared.distances import centered
from msal_lightning.strategies.shared.kmeans import kmeans

_MOST_LEAVES = 2000  # rows of a matrix of distances: 32 MB in float64


class ClusterMargin(PrefilterStrategy):
    """Random images of each cluster of the beta·b smallest margins, in turn, from the smallest cluster to the largest.

    Clusters are those of hierarchical agglomerative clustering with average linkage (scikit-learn). Each turn takes one
    image of every cluster that has one left; of equally large clusters the one with the smallest margin comes first.

    The paper clusters the whole pool once, by the embeddings of its first model. Here each round has a new model, and a
    selection depends on its round only, so the beta·b images themselves are clustered in each round. The paper limits
    the distance within a cluster so that clusters have at least ten images on average; here the average is given. With
    more than 2,000 images, k-means first joins them to 2,000 groups, whose centers are clustered: distances between all
    images would need gigabytes.

    [0] Citovsky et al., 2021, Batch Active Learning at Scale, arXiv 2107.14263, Algorithm 2

    Args:
        beta: ``ceil(beta·b)`` images are clustered; at least 1. 10 in the paper.
        cluster_size: average number of images in a cluster; at least 1. 10 in the paper.

    Raises:
        ValueError: ``beta`` or ``cluster_size`` is below 1.
    """

    def __init__(self, beta: float = 10.0, cluster_size: float = 10.0) -> None:
        super().__init__(Margin(), beta, "embeddings")
        if not 1 <= cluster_size < math.inf:
            raise ValueError(f"query.cluster_size must be a number of at least 1, got {cluster_size}: 10 is usual")
        self.cluster_size = cluster_size

    def select(self, shortlist: PoolOutputs, labeled: PoolOutputs | None, n: int, generator: Generator) -> Tensor:  # noqa: D102
        num_clusters = math.ceil(len(shortlist) / self.cluster_size)
        cluster = agglomerate(shortlist.require("embeddings"), num_clusters, generator)
        size = torch.bincount(cluster)
        # a cluster's place in a turn: by its size, then by the row with its smallest margin
        by_margin = by_score(shortlist)
        first = torch.full_like(size, len(shortlist)).scatter_reduce_(
            0, cluster[by_margin], torch.arange(len(shortlist)), "amin"
        )
        place = torch.empty_like(size)
        place[(size * len(shortlist) + first).argsort()] = torch.arange(len(size))
        # a row's turn: its place in a random order of its cluster
        rows = torch.randperm(len(shortlist), generator=generator)
        rows = rows[cluster[rows].argsort(stable=True)]
        turn = torch.arange(len(rows)) - (size.cumsum(0) - size)[cluster[rows]]
        return rows[(turn * len(size) + place[cluster[rows]]).argsort()[:n]]


def agglomerate(embeddings: Tensor, num_clusters: int, generator: Generator) -> Tensor:
    """Cluster rows by average linkage.

    Args:
        embeddings: (N, D).
        num_clusters: number of clusters, at most N.
        generator: seeds k-means, which groups more than 2,000 rows first.

    Returns:
        (N,) int64, the cluster of each row.
    """
    from sklearn.cluster import AgglomerativeClustering

    x = centered(embeddings)
    group = torch.arange(len(x))
    if len(x) > _MOST_LEAVES:
        x, group = kmeans(x, _MOST_LEAVES, generator)
    if len(x) == 1:
        return group
    model = AgglomerativeClustering(min(num_clusters, len(x)), metric="precomputed", linkage="average")
    label = model.fit_predict(torch.cdist(x, x).double().numpy())
    return torch.from_numpy(label).long()[group]
