"""ProbCover against the greedy cover of a full graph in float64, and the radius that it estimates."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from msal_lightning import select_indices
from msal_lightning.strategies import ProbCover, probcover, shared
from msal_lightning.strategies.outputs import PoolOutputs
from msal_lightning.strategies.probcover import pure_radius
from msal_lightning.strategies.shared.kmeans import kmeans


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed))


def outputs(embeddings, num_classes=4, first=0):
    return PoolOutputs(first + torch.arange(len(embeddings)), embeddings=embeddings, num_classes=num_classes)


def selected(strategy, x, labeled, n, seed=0, num_classes=4):
    labeled = None if labeled is None else outputs(labeled, first=10_000)
    return select_indices(strategy, [outputs(x, num_classes)], labeled, n, generator(seed)).tolist()


def unit(x):
    x = np.asarray(x, dtype=np.float64)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def distances(x, y):
    return np.sqrt(((unit(x)[:, None] - unit(y)[None]) ** 2).sum(axis=2))


def cover(x, labeled, delta):
    """Rows of the greedy cover until all is covered, on a graph of all pairs closer than delta."""
    square, known = distances(x, x), distances(x, labeled)
    for table in (square, known):
        assert not table.size or np.abs(table - delta).min() > 1e-5, "float32 could mix up an edge"
    graph, covered, picks = square < delta, (known < delta).any(axis=1), []
    while not covered.all():
        gain = (graph & ~covered[None]).sum(axis=1)
        gain[picks] = -1
        picks.append(int(gain.argmax()))
        covered |= graph[picks[-1]]
    return picks


def on_a_circle(*angles):
    angles = torch.tensor(angles, dtype=torch.float64)
    return torch.stack([angles.cos(), angles.sin()], dim=1).float()


@pytest.mark.parametrize("block", [100, 8_000_000])
@pytest.mark.parametrize("num_labeled", [0, 1, 15])
@pytest.mark.parametrize(("rows", "dimensions", "delta"), [(80, 3, 0.3), (137, 6, 0.8), (60, 16, 1.2), (50, 3, 1e-3)])
def test_picks_are_those_of_the_greedy_cover(monkeypatch, block, num_labeled, rows, dimensions, delta):
    monkeypatch.setattr(shared.distances, "_BLOCK", block)
    for seed in range(2):
        x, labeled = randn(rows, dimensions, seed=seed), randn(num_labeled, dimensions, seed=seed + 9)
        expected = cover(x, labeled, delta)
        for n in {5, len(expected) or 1, rows}:
            picks = selected(ProbCover(delta), x, labeled if num_labeled else None, n, seed)
            assert picks[: len(expected)] == expected[:n]
            assert len(set(picks)) == n


def test_many_rows_are_read_in_blocks(monkeypatch):
    x, labeled = randn(137, 6), randn(5, 6, seed=9)
    expected = cover(x, labeled, 0.8)
    monkeypatch.setattr(shared.kmeans, "HELD_ROWS", 50)
    monkeypatch.setattr(shared.distances, "_BLOCK", 300)
    monkeypatch.setattr(probcover, "_TOGETHER", 7)
    assert selected(ProbCover(0.8), x, labeled, len(expected)) == expected


def test_worked_example_on_the_circle():
    # Steps of 0.1, radius 0.15: rows 0-4 in a chain, 5-6 a pair, 7 alone. Row 1 covers 0 1 2, then 3 or 4: row 3 is
    # the first to cover both; 5 covers 5 6; 7 itself.
    x = on_a_circle(0.0, 0.1, 0.2, 0.3, 0.4, 2.0, 2.1, 4.0)
    assert selected(ProbCover(0.15), x, None, 4) == [1, 3, 5, 7]
    # Labels at 0.05 and 2.05 cover rows 0 1 2 5 6; row 3 covers 3 4.
    assert selected(ProbCover(0.16), x, on_a_circle(0.05, 2.05), 2) == [3, 7]


def test_last_rows_of_the_pool_have_neighbours(monkeypatch):
    monkeypatch.setattr(shared.distances, "_BLOCK", 500 * 1037)  # blocks of 500 rows, then 37
    angles = [*(0.005 * i for i in range(1007)), *(5.5 + 0.001 * i for i in range(30))]
    assert selected(ProbCover(0.05), on_a_circle(*angles), None, 1)[0] >= 1007  # 30 in a ball, elsewhere 21 at most


def test_rest_is_random_once_all_is_covered():
    x = on_a_circle(*(0.1 + 0.001 * i for i in range(30)), *(3 + 0.001 * i for i in range(10)))
    drawn = [selected(ProbCover(0.2), x, None, 12, seed) for seed in range(300)]
    assert all(picks[:2] == [0, 30] and len(set(picks)) == 12 for picks in drawn)
    counts = np.bincount([row for picks in drawn for row in picks[2:]], minlength=40)
    assert counts[[0, 30]].sum() == 0
    expected = 3000 / 38
    assert (np.abs(np.delete(counts, [0, 30]) - expected) < 4.5 * math.sqrt(expected)).all()
    assert len({tuple(picks[2:]) for picks in drawn}) > 290
    assert sorted(selected(ProbCover(0.2), x, None, 40)) == list(range(40))


def test_what_labels_cover_is_covered():
    x = on_a_circle(*(0.01 * i for i in range(30)), *(2 + 0.01 * i for i in range(5)))
    labeled = on_a_circle(0.15)
    assert selected(ProbCover(0.2), x, labeled, 1)[0] >= 30
    everything = on_a_circle(0.15, 2.02)
    first = [selected(ProbCover(0.2), x, everything, 20, seed) for seed in range(30)]
    assert all(len(set(picks)) == 20 for picks in first)
    assert len({picks[0] for picks in first}) > 10


def test_row_of_zeros_does_not_stop_the_random_rest():
    # A dead ReLU gives an embedding of zeros, which lies on no sphere: nothing covers it but itself.
    x = torch.cat([on_a_circle(*(0.01 * i for i in range(40))), torch.zeros(1, 2)])
    drawn = [selected(ProbCover(1.0), x, None, 10, seed) for seed in range(20)]
    assert all(len(set(picks)) == 10 for picks in drawn)
    assert len({row for picks in drawn for row in picks}) > 30


@pytest.mark.parametrize("dimensions", [3, 64, 129])
def test_row_on_the_edge_of_a_ball_is_picked_once(dimensions):
    # The radius is that of a pair: one product of matrices may see it inside, the next one outside.
    for seed in range(20):
        x = randn(60, dimensions, seed=seed)
        cosine = F.cosine_similarity(x[0], x[1 + seed], dim=0).item()
        assert len(set(selected(ProbCover(math.sqrt(2 * (1 - cosine - 1e-6))), x, None, 60))) == 60


def test_radius_of_2_covers_everything():
    assert selected(ProbCover(2.0), randn(30, 3), None, 1) == [0]


def test_length_of_an_embedding_does_not_count():
    x = randn(80, 4)
    factor = 2.0 ** torch.randint(-8, 9, (80, 1), generator=generator())  # exact
    half = (1000 * x).half()
    for strategy in (ProbCover(0.5), ProbCover()):
        assert selected(strategy, x * factor, None, 20) == selected(strategy, x, None, 20)
        assert selected(strategy, half, None, 20) == selected(strategy, half.float(), None, 20)


def test_memory_is_a_block_and_not_the_graph(monkeypatch, largest_tensor):
    monkeypatch.setattr(shared.distances, "_BLOCK", 4000)
    pool, labeled = outputs(randn(1500, 3)), outputs(randn(700, 3, seed=1))
    for strategy in (ProbCover(0.5), ProbCover()):
        with largest_tensor() as largest:
            strategy.select(pool, labeled, 10, generator())
        assert largest.numel <= 1500 * 4


# The estimated radius


def share_of_pure_balls(x, cluster, radius):
    other = cluster[:, None] != cluster[None]
    return 1 - ((distances(x, x) <= radius) & other).any(axis=1).mean()


@pytest.mark.parametrize("purity", [0.5, 0.8, 0.9, 0.95, 1.0])
@pytest.mark.parametrize("rows", [40, 137, 200])
def test_radius_is_the_largest_of_the_purity_asked_for(rows, purity):
    for seed in range(3):
        x = F.normalize(randn(rows, 3, seed=seed), dim=1)
        cluster = kmeans(x, 5, generator(seed))[1].numpy()
        radius = pure_radius(x, 5, purity, generator(seed))
        to_other = np.sort(np.where(cluster[:, None] != cluster[None], distances(x, x), np.inf).min(axis=1))
        assert share_of_pure_balls(x, cluster, radius * (1 - 1e-3)) >= purity - 1e-9
        assert share_of_pure_balls(x, cluster, radius * (1 + 1e-3)) < purity
        assert np.abs(to_other - radius).min() < 1e-3


def test_radius_of_planted_clusters_is_the_gap_between_them():
    x = on_a_circle(*(0.01 * i for i in range(20)), *(1 + 0.01 * i for i in range(20)))
    # the nearest to another cluster are 0.19 and 1.0, 0.81 apart on the circle
    assert pure_radius(x, 2, 1.0, generator()) == pytest.approx(2 * math.sin(0.81 / 2), rel=1e-4)
    # half of the balls: those of rows up to 0.09 and from 1.10 on, 0.91 from the other cluster and more
    assert pure_radius(x, 2, 0.5, generator()) == pytest.approx(2 * math.sin(0.91 / 2), rel=1e-4)


def test_one_cluster_is_pure_at_any_radius():
    assert pure_radius(F.normalize(randn(20, 3), dim=1), 1, 0.95, generator()) == 2
    assert pure_radius(torch.tensor([[1.0, 0]]), 3, 0.95, generator()) == 2
    assert pure_radius(torch.tensor([[1.0, 0]]).repeat(10, 1), 3, 0.95, generator()) > 0


def test_radius_comes_from_a_random_sample(monkeypatch):
    x = on_a_circle(*(0.01 * i for i in range(20)), *(1 + 0.01 * i for i in range(20)))  # any seed finds these clusters
    assert len({pure_radius(x, 2, 0.5, generator(seed)) for seed in range(5)}) == 1
    monkeypatch.setattr(probcover, "_SAMPLE", 3)
    assert len({pure_radius(x, 2, 0.5, generator(seed)) for seed in range(5)}) > 1


def test_radius_of_a_sample_is_near_that_of_all(monkeypatch):
    x = F.normalize(randn(1500, 3), dim=1)
    of_all = pure_radius(x, 5, 0.9, generator())
    monkeypatch.setattr(probcover, "_SAMPLE", 400)
    of_sample = [pure_radius(x, 5, 0.9, generator(seed)) for seed in range(4)]
    assert all(0.6 * of_all < radius < 1.6 * of_all for radius in of_sample)


@pytest.mark.parametrize("num_classes", [2, 6])
@pytest.mark.parametrize("purity", [0.7, 0.95])
def test_without_a_radius_it_covers_with_the_estimated_one(num_classes, purity):
    x, labeled = randn(150, 3), randn(5, 3, seed=1)
    radius = pure_radius(F.normalize(x, dim=1), num_classes, purity, generator(3))
    picks = selected(ProbCover(purity=purity), x, labeled, 8, 3, num_classes)
    assert picks[:5] == selected(ProbCover(radius), x, labeled, 8, 3)[:5]
    assert ProbCover().purity == 0.95


def test_needs():
    assert ProbCover().needs == ProbCover(0.5).needs == {"embeddings"}
    assert (ProbCover().needs_labeled, ProbCover().shortlist_size(5)) == (True, None)


@pytest.mark.parametrize("delta", [0, -0.5, 2.01, math.nan, math.inf])
def test_delta_out_of_range_is_refused(delta):
    with pytest.raises(ValueError, match=rf"query\.delta must be above 0 and at most 2, got {delta}"):
        ProbCover(delta)


@pytest.mark.parametrize("purity", [0, -0.5, 1.01, math.nan])
def test_purity_out_of_range_is_refused(purity):
    with pytest.raises(ValueError, match=rf"query\.purity must be above 0 and at most 1, got {purity}"):
        ProbCover(purity=purity)
