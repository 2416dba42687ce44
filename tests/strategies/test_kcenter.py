"""k-center against the greedy algorithm on a float64 matrix of all distances."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from msal_lightning import select_indices
from msal_lightning.strategies import KCenter, shared
from msal_lightning.strategies.outputs import PoolOutputs


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed))


def outputs(embeddings, first=0):
    embeddings = torch.as_tensor(embeddings)
    embeddings = embeddings[:, None] if embeddings.ndim == 1 else embeddings
    return PoolOutputs(first + torch.arange(len(embeddings)), embeddings=embeddings)


def selected(embeddings, labeled, n, seed=0):
    labeled = None if labeled is None else outputs(labeled, first=10_000)
    return select_indices(KCenter(), [outputs(embeddings)], labeled, n, generator(seed)).tolist()


def greedy(x, covered_by, n):
    """Rows farthest from all rows of covered_by, one at a time, by a full matrix of distances."""
    x, known = np.asarray(x, dtype=np.float64), np.asarray(covered_by, dtype=np.float64)
    to_known = np.sqrt(((x[:, None] - known[None]) ** 2).sum(axis=2))
    to_each = np.sqrt(((x[:, None] - x[None]) ** 2).sum(axis=2))
    picks = []
    for _ in range(n):
        distance = np.concatenate([to_known, to_each[:, picks]], axis=1).min(axis=1)
        distance[picks] = -1
        picks.append(int(distance.argmax()))
    return picks


@pytest.mark.parametrize("block", [50, 8_000_000])
@pytest.mark.parametrize(
    ("rows", "num_labeled", "dimensions", "n"), [(60, 1, 2, 20), (90, 40, 8, 30), (30, 5, 64, 30), (12, 200, 3, 11)]
)
def test_picks_are_those_of_the_greedy_algorithm(monkeypatch, block, rows, num_labeled, dimensions, n):
    monkeypatch.setattr(shared.distances, "_BLOCK", block)
    for seed in range(3):
        x, labeled = randn(rows, dimensions, seed=seed), randn(num_labeled, dimensions, seed=seed + 9)
        assert selected(x, labeled, n) == greedy(x, labeled, n)


@pytest.fixture(params=[3, 512])
def held(request, monkeypatch):
    """Number of rows whose distances are up to date: few, or all of a test."""
    monkeypatch.setattr(shared.farthest_first, "_HELD", request.param)
    return request.param


def clusters(count, rows, dimensions, seed=0):
    return (10 * randn(count, 1, dimensions, seed=seed) + randn(count, rows, dimensions, seed=seed + 1)).flatten(0, 1)


@pytest.mark.parametrize(
    "x",
    [
        clusters(5, 60, 4),  # each pick lowers the distances of all rows of its cluster
        F.normalize(randn(300, 200), dim=1),  # nearly equal distances
        randn(300, 3) * randn(300, 1, seed=1).exp(),
        torch.linspace(0, 1, 301)[:, None].square(),
    ],
    ids=["clusters", "sphere", "lengths", "line"],
)
def test_picks_are_the_farthest_however_few_rows_are_held(held, x):
    assert selected(x, x[:2] + 0.5, 60) == greedy(x, x[:2] + 0.5, 60)
    first = selected(x, None, 60, seed=3)
    assert first[1:] == greedy(x, x[first[:1]], 59)


def integer_greedy(x, covered_by, n):
    """The greedy algorithm in whole numbers: ties are exact, and the first row wins."""
    x, known = np.asarray(x, dtype=np.int64), np.asarray(covered_by, dtype=np.int64)
    distance = ((x[:, None] - known[None]) ** 2).sum(axis=2).min(axis=1)
    picks = []
    for _ in range(n):
        picks.append(int(distance.argmax()))
        distance = np.minimum(distance, ((x - x[picks[-1]]) ** 2).sum(axis=1))
        distance[picks] = -1
    return picks


@pytest.mark.parametrize(
    "x",
    [
        torch.randint(0, 12, (400, 2), generator=generator()),
        torch.eye(300, dtype=torch.int64),
        torch.ones(40, 3, dtype=torch.int64),
    ],
    ids=["grid with copies", "all equally far", "all equal"],
)
def test_the_first_of_equally_far_rows_is_taken(held, x):
    n, known = min(200, len(x)), torch.zeros(1, x.shape[1], dtype=torch.int64)
    assert selected(x.float(), known.float(), n) == integer_greedy(x, known, n)


def test_picks_do_not_depend_on_the_precision_of_products_or_numbers(held):
    x, labeled = randn(300, 40), randn(20, 40, seed=1)
    expected = selected(x, labeled, 60)
    assert selected(x.double(), labeled.double(), 60) == expected
    try:
        torch.set_float32_matmul_precision("medium")
        assert selected(x, labeled, 60) == expected
    finally:
        torch.set_float32_matmul_precision("highest")


@pytest.mark.parametrize("precision", ["highest", "medium"])
def test_first_bounds_are_never_below_the_distance(monkeypatch, precision):
    monkeypatch.setattr(torch, "get_float32_matmul_precision", lambda: precision)
    x, labeled = randn(500, 64) + 100, randn(50, 64, seed=1) + 100
    bound = shared.farthest_first.FarthestFirst(x, labeled, [])._bound
    exact = torch.cdist(x.double(), labeled.double(), compute_mode="donot_use_mm_for_euclid_dist").amin(dim=1).square()
    assert (bound >= exact * (1 - 1e-12)).all()
    assert (bound <= exact * 1.001).all()


def test_few_rows_are_read(monkeypatch):
    read = []
    points_of = shared.farthest_first.FarthestFirst._points_of

    def counted(self, rows):
        read.append(len(rows))
        return points_of(self, rows)

    monkeypatch.setattr(shared.farthest_first.FarthestFirst, "_points_of", counted)
    selected(randn(20_000, 16), randn(100, 16, seed=1), 400)
    assert sum(read) < 2 * 20_000  # all rows for each pick: 400 · 20,000


def test_worked_example_on_a_line():
    # Labeled 0. Farthest: 10. Then 1 2 6 are 1 2 4 from {0, 10}: 6. Then 1 2 are 1 2 from {0, 6, 10}: 2, then 1.
    assert selected([1.0, 2, 10, 6], [0.0], 4) == [2, 3, 1, 0]


@pytest.mark.parametrize("labeled", [None, torch.empty(0, 5)], ids=["none", "empty"])
def test_without_labels_the_first_image_is_random_and_the_others_far_from_it(labeled):
    x = randn(50, 5)
    first = []
    for seed in range(20):
        picks = selected(x, labeled, 12, seed)
        assert picks == selected(x, labeled, 12, seed)
        assert picks[1:] == [
            row if row < picks[0] else row + 1
            for row in greedy(torch.cat([x[: picks[0]], x[picks[0] + 1 :]]), x[picks[:1]], 11)
        ]
        first.append(picks[0])
    assert len(set(first)) > 10


def test_without_labels_every_image_may_be_first():
    x = randn(6, 3)
    first = np.bincount([selected(x, None, 1, seed)[0] for seed in range(1200)], minlength=6)
    assert (np.abs(first - 200) < 4 * np.sqrt(200)).all()


def test_copies_come_last_and_once():
    x = torch.tensor([[0.0, 0], [3, 0], [0, 4], [3, 0], [0, 4], [7, 7]]).repeat(3, 1)
    picks = selected(x, x[:1], 18)
    assert sorted(picks) == list(range(18))
    assert {tuple(x[row].tolist()) for row in picks[:3]} == {(3, 0), (0, 4), (7, 7)}
    assert picks[0] == 5


@pytest.mark.parametrize("num_labeled", [0, 10])
def test_squares_that_overflow_half_precision(num_labeled):
    x, labeled = (2000 * randn(80, 16)).half(), (2000 * randn(10, 16, seed=1)).half()
    assert torch.isinf((x * x).sum(dim=1)).all()
    if num_labeled:
        assert selected(x, labeled, 20) == greedy(x, labeled, 20)
    else:
        picks = selected(x, None, 20)
        assert picks == selected(x.float(), None, 20)
        assert len(set(picks)) == 20


def test_squares_that_overflow_single_precision():
    x, labeled = 1e25 * randn(80, 16), 1e25 * randn(10, 16, seed=1)
    assert selected(x, labeled, 20) == greedy(x, labeled, 20)


def test_embeddings_far_from_the_origin_lose_nothing():
    x, labeled = ((randn(rows, 6, seed=rows) * 64).round() / 64 for rows in (80, 10))  # exact, moved too
    assert selected(x + 4096, labeled + 4096, 25) == greedy(x, labeled, 25)
    assert selected(x + 4096, None, 25) == selected(x, None, 25)


def test_labeled_rows_count_in_any_order_and_are_never_picked():
    x, labeled = randn(40, 4), randn(15, 4, seed=1)
    assert selected(x, labeled.flip(0), 40) == selected(x, labeled, 40)
    assert sorted(selected(x, labeled, 40)) == list(range(40))
    far = torch.tensor([[500.0, 0, 0, 0]])
    assert selected(torch.cat([x, far]), labeled, 1) == [40]
    assert selected(torch.cat([x, far]), torch.cat([labeled, far]), 1) != [40]  # covered by its labeled copy


def test_memory_is_one_distance_an_image(monkeypatch, largest_tensor):
    monkeypatch.setattr(shared.distances, "_BLOCK", 4000)
    pool, labeled = outputs(randn(1500, 4)), outputs(randn(1000, 4, seed=1), first=10_000)
    with largest_tensor() as largest:
        KCenter().select(pool, labeled, 30, generator())
    assert largest.numel <= 2500 * 4  # both sets of embeddings; all distances would be 1,500 · 2,500


def test_needs():
    strategy = KCenter()
    assert (strategy.needs, strategy.needs_labeled, strategy.shortlist_size(5)) == ({"embeddings"}, True, None)
