"""TypiClust against a naive loop over the same clusters, and planted clusters on the sphere."""

from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from msal_lightning import select_indices
from msal_lightning.strategies import TypiClust, shared, typiclust
from msal_lightning.strategies.outputs import PoolOutputs
from msal_lightning.strategies.shared.changed_rows import JoinedRows
from msal_lightning.strategies.shared.kmeans import kmeans


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed))


def outputs(embeddings, first=0):
    return PoolOutputs(first + torch.arange(len(embeddings)), embeddings=embeddings)


def selected(strategy, x, labeled, n, seed=0):
    labeled = None if labeled is None else outputs(labeled, first=10_000)
    return select_indices(strategy, [outputs(x)], labeled, n, generator(seed)).tolist()


def naive(x, labeled, n, seed, neighbours=20, max_clusters=500, min_cluster_size=5):
    """The visits of the clusters that scikit-learn finds, in plain Python and float64."""
    known = len(labeled)
    unit = F.normalize(torch.cat([labeled, x]).float(), dim=1)
    number = min(known + n, max_clusters, len(unit))
    cluster = kmeans(unit, number, generator(seed))[1].tolist()
    points = unit.double().numpy()
    free = {c: [i for i in range(known, len(unit)) if cluster[i] == c] for c in range(number)}
    order = sorted(free, key=lambda c: (cluster[:known].count(c), -cluster.count(c), c))
    large = [c for c in order if cluster.count(c) > min_cluster_size]
    small = [c for c in order if cluster.count(c) <= min_cluster_size]

    def most_typical(rows):
        k = min(neighbours, max(1, len(rows) // 2), len(rows) - 1)
        means = []
        for i in rows:
            nearest = sorted(float(np.sqrt(((points[i] - points[j]) ** 2).sum())) for j in rows if j != i)[:k]
            means.append(round(sum(nearest) / max(1, k), 6))  # two rows are equally near to each other
        low, next_one = sorted([*means, 9.0])[:2]
        assert next_one - low > 1e-5 or next_one == low, "float32 could mix up these rows"
        return rows[means.index(low)]

    picks = []
    for visited in (large, small):
        while len(picks) < n and any(free[c] for c in visited):
            for c in visited:
                if free[c] and len(picks) < n:
                    picks.append(most_typical(free[c]))
                    free[c].remove(picks[-1])
    return [row - known for row in picks]


def on_a_circle(*angles):
    angles = torch.tensor(angles, dtype=torch.float64)
    return torch.stack([angles.cos(), angles.sin()], dim=1).float()


def around(angle, size):
    """Rows close to an angle, the densest first."""
    return [angle + 0.02 * step * abs(step) / size for step in range(size)]


@pytest.mark.parametrize("block", [50, 8_000_000])
@pytest.mark.parametrize(
    ("rows", "num_labeled", "n", "options"),
    [
        pytest.param(120, 10, 12, {}, id="defaults"),
        pytest.param(120, 0, 12, {"neighbours": 3}, id="nothing-labeled"),
        pytest.param(90, 6, 40, {"max_clusters": 9, "neighbours": 4}, id="more-than-clusters"),
        pytest.param(60, 8, 60, {"max_clusters": 20}, id="whole-pool"),
        pytest.param(80, 20, 30, {"min_cluster_size": 0}, id="small-ones-too"),
        pytest.param(80, 20, 30, {"min_cluster_size": 3}, id="some-too-small"),
        pytest.param(50, 70, 10, {"max_clusters": 1}, id="one-cluster"),
    ],
)
def test_picks_are_those_of_naive_visits(monkeypatch, block, rows, num_labeled, n, options):
    monkeypatch.setattr(shared.distances, "_BLOCK", block)
    for seed in range(2):
        x, labeled = randn(rows, 4, seed=seed) + 0.5, randn(num_labeled, 4, seed=seed + 9) + 0.5
        expected = naive(x, labeled, n, seed, **options)
        assert selected(TypiClust(**options), x, labeled if num_labeled else None, n, seed) == expected


def test_typical_is_the_mean_distance_and_not_its_square():
    # 0 4 8 14 15, two neighbours: mean distances 6 4 5 3.5 4, mean squares 40 16 26 18.5 25
    x = on_a_circle(*(0.02 * at for at in (0, 4, 8, 14, 15)))
    assert selected(TypiClust(), x, None, 1) == [3]
    assert selected(TypiClust(neighbours=1), x, None, 1) == [3]  # 14 and 15 are 1 apart: the lower row
    assert selected(TypiClust(max_clusters=1), x, None, 5)[0] == 3


def test_typical_asks_half_of_the_cluster_at_most():
    # 0 and 1 are neighbours, the others lie even: with one neighbour 0 wins, with three of six 8 does.
    x = on_a_circle(*(0.02 * at for at in (0, 1, 5.2, 8, 10.8, 13.6)))
    assert selected(TypiClust(), x, None, 1) == [3]
    assert selected(TypiClust(neighbours=1), x, None, 1) == [0]
    assert selected(TypiClust(neighbours=500), x, None, 1) == [3]


def test_labeled_clusters_come_last_and_large_ones_first():
    sizes = {0.0: 30, 1.5: 10, 3.0: 20, 4.5: 40}
    angles = [angle for center, size in sizes.items() for angle in around(center, size)]
    x, start = on_a_circle(*angles), dict(zip(sizes, (0, 30, 40, 60), strict=True))
    labeled = on_a_circle(4.5)
    centers = [angles[row] for row in selected(TypiClust(), x, labeled, 3)]
    assert [round(center / 1.5) for center in centers] == [0, 2, 1]  # 30, 20, 10 rows; the 40 are covered
    picks = selected(TypiClust(max_clusters=4), x, labeled, 8)
    assert [round(angles[row] / 1.5) for row in picks] == [0, 2, 1, 3] * 2  # then it starts over
    assert picks[0] - start[0.0] < 10  # the densest part of the cluster
    twice = selected(TypiClust(max_clusters=4), x, on_a_circle(4.5, 4.51, 0.0), 4)
    assert [round(angles[row] / 1.5) for row in twice] == [2, 1, 0, 3]  # fewest labels first


def test_small_clusters_wait_until_the_large_ones_are_used_up():
    x = on_a_circle(*around(0, 9), *around(2, 3), *around(4, 4))
    picks = selected(TypiClust(max_clusters=3), x, None, 16)
    assert set(picks[:9]) == set(range(9))
    assert [row >= 12 for row in picks[9:]] == [True, False] * 3 + [True]  # 4 and 3 rows, in turn
    assert sorted(picks) == list(range(16))
    four = selected(TypiClust(max_clusters=3, min_cluster_size=3), x, None, 14)
    assert {row for row in four if 9 <= row < 12} == set(four[13:])
    assert selected(TypiClust(max_clusters=3, min_cluster_size=10), x, None, 1)[0] < 9  # none is large: the largest


def test_labeled_images_count_in_the_size_of_a_cluster():
    # 4 pool images and 3 labeled ones are more than 5; 5 pool images alone are not
    x, labeled = on_a_circle(*around(0, 4), *around(2, 5), *around(4, 8)), on_a_circle(0.001, 0.021, 0.041)
    picks = selected(TypiClust(max_clusters=3), x, labeled, 4)
    assert {row for row in picks if row >= 9} != set()
    assert not any(4 <= row < 9 for row in picks)
    assert any(row < 4 for row in picks)


def test_number_of_clusters_is_that_of_labels_after_the_purchase():
    # Four clusters, two of them labeled: only with four clusters are both others found.
    angles = [a for center in (0, 1.5, 3, 4.5) for a in around(center, 12)]
    labeled = on_a_circle(*around(0, 6), *around(1.5, 6))
    for seed in range(4):
        picks = selected(TypiClust(max_clusters=4), on_a_circle(*angles), labeled, 2, seed)
        assert {round(angles[row] / 1.5) for row in picks} == {2, 3}
    picks = selected(TypiClust(), randn(700, 3), None, 600)  # more than the 500 clusters of the default
    assert len(set(picks)) == 600


def test_length_of_an_embedding_does_not_count():
    x, labeled = randn(80, 4), randn(9, 4, seed=1)
    factor = 2.0 ** torch.randint(-8, 9, (80, 1), generator=generator())  # exact
    assert selected(TypiClust(), x * factor, labeled, 20) == selected(TypiClust(), x, labeled, 20)
    half = (1000 * x).half()
    assert selected(TypiClust(), half, labeled, 20) == selected(TypiClust(), half.float(), labeled, 20)


def test_copies_and_zeros_are_picked_once():
    x = torch.cat([randn(4, 3).repeat(8, 1), torch.zeros(5, 3)])
    picks = selected(TypiClust(), x, x[:3], 37)
    assert sorted(picks) == list(range(37))
    assert selected(TypiClust(), torch.zeros(1, 3), None, 1) == [0]


def test_many_rows_are_read_by_cluster(monkeypatch):
    x = torch.cat([5 * c + 0.1 * randn(300, 3, seed=k) for k, c in enumerate(torch.eye(3))])  # planted on three axes
    labeled = 5 * torch.eye(3)[:1]
    expected = selected(TypiClust(max_clusters=3), x, labeled, 12)
    monkeypatch.setattr(shared.kmeans, "HELD_ROWS", 200)
    monkeypatch.setattr(shared.kmeans, "_PER_CLUSTER", 1)
    reads = []

    class Watched(JoinedRows):
        def __getitem__(self, rows):
            reads.append(rows)
            return super().__getitem__(rows)

    monkeypatch.setattr(typiclust, "JoinedRows", Watched)
    assert selected(TypiClust(max_clusters=3), x, labeled, 12) == expected
    assert max(len(rows) for rows in reads if isinstance(rows, torch.Tensor)) <= 300


def test_order_of_picks_falls_with_density():
    x = on_a_circle(*around(0, 20))  # one cluster, denser towards its first row
    picks = selected(TypiClust(max_clusters=1, neighbours=3), x, None, 6)
    assert max(picks) < 10
    assert all(abs(a - b) <= 6 for a, b in pairwise(picks))


def test_memory_is_a_block_and_not_all_distances(monkeypatch, largest_tensor):
    monkeypatch.setattr(shared.distances, "_BLOCK", 3000)
    pool = outputs(randn(1200, 3))
    with largest_tensor() as largest:
        TypiClust(max_clusters=1).select(pool, None, 3, generator())
    assert largest.numel <= 1200 * 3


def test_defaults_are_those_of_the_paper_and_its_code():
    strategy = TypiClust()
    assert (strategy.neighbours, strategy.max_clusters, strategy.min_cluster_size) == (20, 500, 5)
    assert (strategy.needs, strategy.needs_labeled, strategy.shortlist_size(5)) == ({"embeddings"}, True, None)


@pytest.mark.parametrize(("key", "least"), [("neighbours", 1), ("max_clusters", 1), ("min_cluster_size", 0)])
@pytest.mark.parametrize("below", [1, 4])
def test_options_that_are_too_small_are_refused(key, least, below):
    with pytest.raises(ValueError, match=rf"query\.{key} must be at least {least}, got {least - below}"):
        TypiClust(**{key: least - below})
