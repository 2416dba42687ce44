"""Cluster-Margin against Algorithm 2 of its paper, step by step, on clusters by scipy."""

import math

import numpy as np
import pytest
import torch
from scipy.cluster.hierarchy import fcluster, linkage

from msal_lightning import select_indices
from msal_lightning.strategies import ClusterMargin, clustermargin
from msal_lightning.strategies.clustermargin import agglomerate
from msal_lightning.strategies.outputs import PoolOutputs


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def with_margin(scores):
    """Logits of two classes with these scores of Margin: p₁ - p₂ = 1 - score."""
    first = 1 - torch.as_tensor(scores, dtype=torch.float64) / 2
    return torch.stack([torch.log(first / (1 - first)), torch.zeros(len(scores))], dim=1).float()


def make_pool(positions, scores):
    embeddings = torch.as_tensor(positions, dtype=torch.float32)
    embeddings = embeddings[:, None] if embeddings.ndim == 1 else embeddings
    return PoolOutputs(100 + torch.arange(len(embeddings)), embeddings=embeddings, logits=with_margin(scores))


def selected(strategy, pool, n, seed=0):
    return (select_indices(strategy, [pool], None, n, generator(seed)) - 100).tolist()


def turns(clusters):
    """Number of each cluster in the order of Algorithm 2, with sorted sizes: j + 1, or the smallest that is left."""
    left, order, j = sorted(clusters), [], 0
    while sum(left):
        if left[j]:
            order.append(j)
            left[j] -= 1
        j = j + 1 if j + 1 < len(left) else next((k for k, size in enumerate(left) if size), 0)
    return order


@pytest.mark.parametrize("size", [2, 5, 10])
def test_clusters_take_turns_as_in_algorithm_2(size):
    n = 20
    embeddings = torch.randn(300, 4, generator=generator(1))
    scores = (0.05 + 0.9 * torch.rand(300, generator=generator(2))).double().numpy()
    kept = np.sort(np.argsort(-scores)[: 4 * n])
    tree = linkage(embeddings[kept].double().numpy(), "average")
    cluster = dict(zip(kept.tolist(), fcluster(tree, math.ceil(4 * n / size), "maxclust"), strict=True))
    sizes = {c: list(cluster.values()).count(c) for c in set(cluster.values())}
    expected = [sorted(sizes.values())[k] for k in turns(sizes.values())[:n]]
    for seed in range(5):
        picks = selected(ClusterMargin(beta=4, cluster_size=size), make_pool(embeddings, scores), n, seed)
        assert [sizes[cluster[row]] for row in picks] == expected


def test_smallest_cluster_first_then_the_smallest_margin():
    at = [0, 1, 2, 100, 101, 200, 201, 1000]
    pool = make_pool(at, [0.9, 0.9, 0.9, 0.2, 0.3, 0.1, 0.5, 0.1])  # sizes 3 2 2 1
    for seed in range(8):
        picks = selected(ClusterMargin(beta=10, cluster_size=2), pool, 7, seed)
        assert picks[0] == 7
        assert picks[1] in (5, 6)
        assert picks[2] in (3, 4)
        assert picks[3] in (0, 1, 2)
        assert {*picks[4:6]} == {3, 4, 5, 6} - {*picks[1:3]}
        assert picks[6] in {0, 1, 2} - {picks[3]}


def test_each_image_of_a_cluster_has_the_same_chance():
    pool = make_pool([0, 1, 2, 3, 900, 901, 902, 903], [0.9, 0.1, 0.5, 0.3] * 2)
    counts = np.bincount([row for s in range(200) for row in selected(ClusterMargin(4, 4), pool, 2, s)], minlength=8)
    assert (np.abs(counts - 50) < 4 * math.sqrt(50)).all()


def test_certain_images_are_left_out_before_clustering():
    pool = make_pool([0, 1, 2, 3, 1e6], [0.5, 0.6, 0.5, 0.6, 0.1])
    assert all(4 not in selected(ClusterMargin(beta=2, cluster_size=1), pool, 2, seed) for seed in range(5))


def test_many_rows_are_grouped_first(monkeypatch):
    monkeypatch.setattr(clustermargin, "_MOST_LEAVES", 40)
    centers = 200 * torch.randn(6, 3, generator=generator(1))
    true = torch.randint(6, (500,), generator=generator(2))
    found = agglomerate(centers[true] + torch.randn(500, 3, generator=generator(3)), 6, generator())
    assert len({*zip(true.tolist(), found.tolist(), strict=True)}) == 6  # the planted clusters
    assert int(agglomerate(centers[true], 300, generator()).max()) < 40


def test_distances_between_all_rows_are_never_built(monkeypatch, largest_tensor):
    monkeypatch.setattr(clustermargin, "_MOST_LEAVES", 50)
    with largest_tensor() as largest:
        agglomerate(torch.randn(1000, 4, generator=generator()), 100, generator())
    assert largest.numel <= 4000


@pytest.mark.parametrize(("options", "key"), [({"beta": 0.5}, "beta"), ({"cluster_size": 0}, "cluster_size")])
def test_options_below_one_are_refused(options, key):
    with pytest.raises(ValueError, match=rf"query\.{key} must be a number of at least 1"):
        ClusterMargin(**options)
