"""KMeans and KMeansFaiss: planted clusters, naive nearest rows; the helpers that other strategies share."""

import sys
from dataclasses import replace

import faiss
import numpy as np
import pytest
import torch

from msal_lightning import select_indices
from msal_lightning.errors import UserError
from msal_lightning.strategies import KMeans, KMeansFaiss, shared
from msal_lightning.strategies.outputs import PoolOutputs
from msal_lightning.strategies.shared.distances import blocks, centered, nearest_rows
from msal_lightning.strategies.shared.kmeans import clusters, kmeans, training_rows

BOTH = [KMeans, KMeansFaiss]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed))


def make_pool(embeddings):
    return PoolOutputs(torch.arange(len(embeddings)), embeddings=torch.as_tensor(embeddings))


def selected(strategy, embeddings, n, seed=0):
    return select_indices(strategy, [make_pool(embeddings)], None, n, generator(seed)).tolist()


def blobs(sizes, dimensions=4, spread=100.0, seed=0):
    """Clusters far apart, shuffled; embeddings and the cluster of each row."""
    centers = spread * randn(len(sizes), dimensions, seed=seed + 1)
    cluster = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    cluster = cluster[torch.randperm(len(cluster), generator=generator(seed))]
    return centers[cluster] + randn(len(cluster), dimensions, seed=seed + 2), cluster


def distances(x, y):
    """Of each row of x to each of y, float64 numpy."""
    x, y = (np.asarray(value, dtype=np.float64) for value in (x, y))
    return np.sqrt(((x[:, None] - y[None]) ** 2).sum(axis=2))


def naive_nearest(x, centers):
    """For each center the nearest row that is left."""
    rows = []
    for column in distances(x, centers).T:
        rows.append(min((row for row in range(len(x)) if row not in rows), key=lambda row: column[row]))
    return rows


def middle_of_each(embeddings, cluster):
    """The row nearest to the mean of its cluster, for each cluster."""
    x, cluster = embeddings.double().numpy(), cluster.numpy()
    members = [np.flatnonzero(cluster == c) for c in np.unique(cluster)]
    return {rows[naive_nearest(x[rows], x[rows].mean(axis=0)[None])[0]] for rows in members}


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("cls", BOTH)
def test_planted_clusters_give_the_row_nearest_to_their_mean(cls, seed):
    # faiss starts at random rows: of many clusters it may miss one
    sizes = [40, 25] if cls is KMeansFaiss else [40, 25, 9, 60, 31, 3]
    embeddings, cluster = blobs(sizes, seed=seed)
    picks = selected(cls(), embeddings, len(sizes), seed)
    assert set(picks) == middle_of_each(embeddings, cluster)
    assert picks != list(range(len(sizes)))


@pytest.mark.parametrize("cls", BOTH)
def test_one_cluster_gives_the_row_nearest_to_the_mean(cls):
    embeddings = randn(200, 5) ** 3
    assert selected(cls(), embeddings, 1) == list(middle_of_each(embeddings, torch.zeros(200)))


@pytest.mark.parametrize("n", [2, 9, 20])
def test_picks_are_nearest_to_the_centers_of_scikit_learn(n):
    embeddings = centered(randn(400, 3))  # many: the center of a cluster of two is equally near to both
    centers, _ = kmeans(embeddings, n, generator(4))
    assert selected(KMeans(), embeddings, n, 4) == naive_nearest(embeddings, centers)


@pytest.mark.parametrize(("iterations", "restarts"), [(1, 1), (25, 1), (25, 4)])
def test_picks_are_nearest_to_the_centers_of_faiss(iterations, restarts):
    embeddings = centered(randn(300, 3))
    seed = int(torch.randint(2**31 - 1, (), generator=generator(4)))
    options = {"niter": iterations, "nredo": restarts, "seed": seed}
    model = faiss.Kmeans(3, 12, **options, min_points_per_centroid=1, max_points_per_centroid=300)
    model.train(embeddings.numpy())
    picks = selected(KMeansFaiss(iterations, restarts), embeddings, 12, 4)
    assert picks == naive_nearest(embeddings, model.centroids)
    assert picks != selected(KMeansFaiss(iterations, restarts), embeddings, 12, 5)


@pytest.mark.parametrize("cls", BOTH)
def test_all_rows_are_clustered_and_not_a_sample(cls):
    # 3,000 rows for two centers: more than the 256 a center that faiss would sample
    embeddings, cluster = blobs([2900, 100])
    assert set(selected(cls(), embeddings, 2)) == middle_of_each(embeddings, cluster)


@pytest.mark.parametrize(("rows", "k", "size"), [(100_000, 3, 100_000), (100_001, 3, 100_000), (102_000, 397, 101_632)])
def test_more_than_100000_rows_are_sampled_and_so_many_are_not(rows, k, size):
    x = torch.arange(rows)[:, None].float()
    seen = training_rows(x, k, generator(1))[:, 0]
    assert len(seen) == size
    assert (seen[1:] > seen[:-1]).all()
    if size < rows:
        again, other = (training_rows(x, k, generator(seed))[:, 0] for seed in (1, 2))
        assert torch.equal(seen, again)
        assert not torch.equal(seen, other)


@pytest.mark.parametrize("cls", BOTH)
def test_a_sample_is_clustered_and_all_rows_are_candidates(monkeypatch, cls):
    monkeypatch.setattr(shared.kmeans, "HELD_ROWS", 500)
    monkeypatch.setattr(shared.distances, "_BLOCK", 2000)
    embeddings, cluster = blobs([900, 700, 400])
    origin = training_rows(embeddings, 3, generator(3))
    assert len(origin) == 768  # 256 a cluster
    picks = selected(cls(), embeddings, 3, 3)
    assert set(cluster[picks].tolist()) == {0, 1, 2}
    if cls is KMeans:
        random = generator(3)
        rows = training_rows(embeddings, 3, random)
        centers = kmeans(centered(rows), 3, random)[0] + rows.mean(dim=0)
        assert picks == naive_nearest(embeddings, centers)


def test_rows_beyond_the_sample_belong_to_the_nearest_center(monkeypatch):
    monkeypatch.setattr(shared.kmeans, "HELD_ROWS", 500)
    monkeypatch.setattr(shared.kmeans, "_PER_CLUSTER", 1)
    x, planted = blobs([900, 700, 400])
    found = clusters(x, 3, generator(3))
    pairs = {*zip(found.tolist(), planted.tolist(), strict=True)}
    assert len(pairs) == 3


@pytest.mark.parametrize("cls", BOTH)
def test_fewer_different_rows_than_asked_for(cls):
    embeddings = torch.tensor([[0.0, 0], [50, 0], [0, 50]]).repeat(10, 1)
    picks = selected(cls(), embeddings, 7)
    assert len(set(picks)) == 7
    if cls is KMeans:  # faiss starts at random rows, and may start at copies
        assert {row % 3 for row in picks[:3]} == {0, 1, 2}
    assert sorted(selected(cls(), embeddings, 30)) == list(range(30))


@pytest.mark.parametrize("cls", BOTH)
def test_large_and_far_embeddings_lose_nothing(cls):
    x = (randn(80, 4) * 64).round() / 64  # exact in float32, moved too
    picks = selected(cls(), x, 6)
    assert selected(cls(), x + 4096, 6) == picks
    assert selected(cls(), x * 2**15, 6) == picks
    half = (x * 2**13).half()  # squares overflow
    assert selected(cls(), half, 6) == selected(cls(), half.float(), 6)


def test_options_out_of_range_are_refused():
    with pytest.raises(ValueError, match=r"query\.iterations must be at least 1, got 0"):
        KMeansFaiss(iterations=0)
    with pytest.raises(ValueError, match=r"query\.restarts must be at least 1, got 0"):
        KMeansFaiss(restarts=0)
    assert KMeans().needs == KMeansFaiss().needs == {"embeddings"}


def test_faiss_says_nothing(capfd):
    selected(KMeansFaiss(), randn(60, 3), 20)  # three rows a center: it would warn
    assert capfd.readouterr() == ("", "")


def test_missing_faiss_is_explained(monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(UserError, match=r"query KMeansFaiss .*pip install 'msal_lightning\[faiss\]'.* query to KMeans"):
        KMeansFaiss()


# scikit-learn's k-means


@pytest.mark.parametrize("weighted", [False, True])
def test_centers_are_the_weighted_means_of_their_rows(weighted):
    x = randn(200, 3)
    weight = torch.rand(200, generator=generator(1)) ** 3 if weighted else None
    centers, label = kmeans(x, 7, generator(), weight)
    assert centers.shape == (7, 3)
    assert label.dtype == torch.int64
    assert label.tolist() == distances(x, centers).argmin(axis=1).tolist()
    w = np.ones(200) if weight is None else weight.double().numpy()
    for c in range(7):
        rows = (label == c).numpy()
        expected = (w[rows, None] * x[rows].double().numpy()).sum(axis=0) / w[rows].sum()
        np.testing.assert_allclose(centers[c], expected, atol=0.05)  # it stops before the last digit


def test_weights_of_zero_are_no_weights():
    x = randn(100, 3)
    for given, plain in zip(kmeans(x, 5, generator(), torch.zeros(100)), kmeans(x, 5, generator()), strict=True):
        assert torch.equal(given, plain)


@pytest.mark.parametrize("heavy", [0, 1, 3])
def test_fewer_weights_than_clusters(heavy):
    weight = torch.zeros(40)
    weight[:heavy] = 1e-3
    centers, label = kmeans(randn(40, 3), 6, generator(), weight)
    assert torch.isfinite(centers).all()
    assert 0 <= label.min() <= label.max() < 6


@pytest.mark.parametrize("scale", [1e-12, 1e-30, 1e-42, 1e30])
def test_only_ratios_of_weights_count(scale):
    x, _ = blobs([20, 20, 20])
    weight = torch.full((60,), 1.0)
    centers, _ = kmeans(x, 3, generator(), weight * scale)
    torch.testing.assert_close(centers, kmeans(x, 3, generator(), weight)[0], rtol=1e-5, atol=1e-3)


def test_centers_are_finite_where_a_cluster_weighs_next_to_nothing():
    x, cluster = blobs([20, 20, 20])
    centers, _ = kmeans(x, 3, generator(), torch.where(cluster == 0, 1e-42, 1.0))  # 1 / (20 · 1e-42) overflows
    assert torch.isfinite(centers).all()


def test_kmeans_is_that_of_its_generator():
    x = randn(300, 2)
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002
    before = torch.get_rng_state(), np.random.get_state()[1].tolist()  # noqa: NPY002
    first, again, other = (kmeans(x, 20, generator(seed))[1] for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == np.random.get_state()[1].tolist()  # noqa: NPY002
    one = generator()
    assert not torch.equal(kmeans(x, 20, one)[1], kmeans(x, 20, one)[1])  # it draws: the next call differs


# Distances


@pytest.mark.parametrize("block", [1, 7, 100, 10**6])
@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (20, 3), (20, 0), (23, 50)])
def test_blocks_are_all_rows_once(monkeypatch, block, rows, columns):
    monkeypatch.setattr(shared.distances, "_BLOCK", block)
    parts = [list(range(rows))[part] for part in blocks(rows, columns)]
    assert [row for part in parts for row in part] == list(range(rows))
    assert all(len(part) == 1 or len(part) * columns <= block for part in parts)


@pytest.mark.parametrize("block", [1, 64, 10**6])
@pytest.mark.parametrize(("rows", "num_centers"), [(1, 1), (40, 1), (40, 12), (40, 40), (57, 31)])
def test_nearest_against_naive_loops(monkeypatch, block, rows, num_centers):
    monkeypatch.setattr(shared.distances, "_BLOCK", block)
    for seed in range(3):
        x, centers = randn(rows, 3, seed=seed), 0.3 * randn(num_centers, 3, seed=seed + 10)  # many want the same row
        assert nearest_rows(x, centers).tolist() == naive_nearest(x, centers)


def test_nearest_row_ties_by_lower_row():
    x = torch.tensor([[5.0], [1.0], [-1.0], [1.0], [5.0]])
    assert nearest_rows(x, torch.tensor([[0.0], [0.0], [4.0], [1.0], [9.0]])).tolist() == [1, 2, 0, 3, 4]


def test_nearest_row_of_a_tight_cluster_far_from_the_mean():
    # x² - 2xc + c² loses four of seven digits here
    offset = torch.tensor([0.9, 0.3, 8.0, 0.6, 2.0])
    x = torch.cat([100 + offset, -100 - offset])[torch.arange(10).repeat(5)][:, None] * torch.ones(1, 16)
    x[10:] += 20  # copies out of the way
    centers = torch.tensor([[100.0], [-100.0]]) * torch.ones(1, 16)
    assert nearest_rows(x, centers).tolist() == [1, 6]


def test_centered_moves_the_mean_to_zero_in_float32():
    x = randn(500, 3).half() + 60
    got = centered(x)
    assert got.dtype == torch.float32
    np.testing.assert_allclose(got, x.double() - x.double().mean(dim=0), atol=1e-4)


def test_memory_of_distances_is_a_block(monkeypatch, largest_tensor):
    monkeypatch.setattr(shared.distances, "_BLOCK", 5000)
    x, centers = randn(2000, 4), randn(300, 4, seed=1)
    with largest_tensor() as largest:
        nearest_rows(x, centers)
    assert largest.numel <= 8000


def test_pool_is_unchanged():
    pool = make_pool(randn(50, 3) + 5)
    before = replace(pool, embeddings=pool.embeddings.clone())
    for cls in BOTH:
        select_indices(cls(), [pool], None, 5, generator())
        assert torch.equal(before.embeddings, pool.embeddings)


def test_restarts_lower_the_inertia():
    x = randn(400, 6)
    once, often = (
        float(torch.cdist(x, KMeansFaiss(25, restarts).centers(x, 20, generator())).min(dim=1).values.square().sum())
        for restarts in (1, 10)
    )
    assert often < once
