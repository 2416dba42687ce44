"""BADGE against k-means++ on gradients that autograd computes and that are written out in full."""

from itertools import permutations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.stats import kstest

from msal_lightning import select_indices
from msal_lightning.models.prototypes import simplex_prototypes
from msal_lightning.strategies import BADGE, shared
from msal_lightning.strategies.outputs import PoolOutputs
from msal_lightning.strategies.shared.gradients import PoolGradients
from msal_lightning.strategies.shared.kmeans_plus_plus import draw_rows


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed))


def make_pool(h, logits):
    return PoolOutputs(torch.arange(len(h)), logits=logits.float(), embeddings=h.float())


def selected(pool, n, seed=0):
    return select_indices(BADGE(), [pool], None, n, generator(seed)).tolist()


def gradients(h, weight, head):
    """Gradient of each row's loss at ``weight``, for the label that the model predicts: (N, parameters) float64."""
    rows = []
    for one in h.double():
        w = weight.double().clone().requires_grad_()
        logits = head(one @ w.T)
        F.cross_entropy(logits[None], logits.argmax()[None]).backward()
        rows.append(w.grad.flatten())
    return torch.stack(rows).numpy()


def squared_distances(g):
    return ((g[:, None] - g[None]) ** 2).sum(axis=2)


def places(g, picks, seed=0):
    """Where each pick after the first lies among all rows, by dense distances: uniform on [0, 1] if draws are right.

    Rows lie side by side from near to far, each as long as its chance; a pick is anywhere on its own length.
    """
    square, places = squared_distances(g), []
    assert picks[0] == (g**2).sum(axis=1).argmax()
    random = np.random.default_rng(seed)
    for k in range(1, len(picks)):
        weight = square[:, picks[:k]].min(axis=1)
        order = np.argsort(weight)
        end = np.cumsum(weight[order]) / weight.sum()
        at = int(np.flatnonzero(order == picks[k])[0])
        places.append(end[at] - random.random() * weight[picks[k]] / weight.sum())
    return places


def assert_uniform(places):
    assert kstest(places, "uniform").pvalue > 0.001  # of a fixed set of seeds


def chances(square, first, n):
    """Probability of each sequence of n rows after the first, by hand: {rows: probability}."""
    found = {}
    for rest in permutations([row for row in range(len(square)) if row != first], n - 1):
        chance, picks = 1.0, [first]
        for row in rest:
            weight = square[:, picks].min(axis=1)
            chance *= weight[row] / weight.sum()
            picks.append(row)
        found[tuple(picks)] = chance
    return found


def on_a_line(positions):
    """Rows whose gradients lie on a line: all predict the same, so that only the embedding differs."""
    h = torch.tensor([[float(at)] for at in positions])
    return make_pool(h, torch.tensor([[1.0, 0.0]]).expand(len(h), 2))


@pytest.mark.parametrize(("rows", "num_classes", "dimensions", "n"), [(60, 2, 3, 20), (80, 5, 4, 30), (50, 10, 16, 49)])
def test_picks_are_drawn_by_dense_gradients_of_a_linear_head(rows, num_classes, dimensions, n):
    found = []
    for seed in range(20):
        h, weight = randn(rows, dimensions, seed=seed), randn(num_classes, dimensions, seed=seed + 100)
        g = gradients(h, weight, lambda logits: logits)
        found += places(g, selected(make_pool(h, h @ weight.T), n, seed), seed)
    assert_uniform(found)


@pytest.mark.parametrize("num_classes", [3, 6])
def test_picks_are_drawn_by_the_gradients_below_the_prototypes(num_classes):
    prototypes = simplex_prototypes(num_classes, radius=3.0)
    h, weight = randn(60, 4), randn(num_classes - 1, 4, seed=1)
    g = gradients(h, weight, lambda z: z @ prototypes)
    logits = h.double() @ weight.double().T @ prototypes
    assert_uniform([place for seed in range(20) for place in places(g, selected(make_pool(h, logits), 25, seed), seed)])


@pytest.mark.parametrize(("queue", "few"), [(3, 1), (3, 4), (7, 2), (512, 513)])
def test_draws_are_right_however_often_weights_are_computed_anew(monkeypatch, queue, few):
    monkeypatch.setattr(shared.kmeans_plus_plus, "_QUEUE", queue)
    monkeypatch.setattr(
        shared.kmeans_plus_plus, "_FEW", few
    )  # 1: if none is accepted; above the queue's length: after each queue
    h, logits = randn(60, 3), randn(60, 4, seed=1)
    h[:6] *= 20  # far from all others, so that the first distances say little later
    g = (F.softmax(logits.double(), 1) - F.one_hot(logits.argmax(1), 4))[:, :, None] * h.double()[:, None]
    picks = [selected(make_pool(h, logits), 30, seed) for seed in range(20)]
    assert all(len(set(each)) == 30 for each in picks)
    assert_uniform([place for seed, each in enumerate(picks) for place in places(g.flatten(1).numpy(), each, seed)])


def test_picks_depend_neither_on_blocks_nor_on_the_order_of_the_pool(monkeypatch):
    pool = make_pool(randn(300, 8), randn(300, 5, seed=1))
    expected = selected(pool, 60)
    batches = [pool.rows(rows) for rows in torch.randperm(300, generator=generator(5)).split(70)]
    assert select_indices(BADGE(), batches, None, 60, generator()).tolist() == expected
    monkeypatch.setattr(shared.distances, "_BLOCK", 500)
    assert selected(pool, 60) == expected
    exact = PoolOutputs(pool.index, logits=pool.logits.double(), embeddings=pool.embeddings.double())
    assert selected(exact, 60) == expected


def test_few_rows_are_read(monkeypatch):
    read = []
    at = PoolGradients.at

    def counted(self, rows):
        found = at(self, rows)
        read.append(len(found.square))
        return found

    monkeypatch.setattr(PoolGradients, "at", counted)
    BADGE().select(make_pool(randn(20_000, 8), randn(20_000, 5, seed=1)), None, 400, generator())
    assert sum(read) < 6 * 20_000  # all rows for each pick: 400 · 20,000


def test_first_is_the_largest_gradient():
    h, logits = randn(100, 3), 3 * randn(100, 4, seed=1)
    p = torch.softmax(logits.double(), dim=1)
    a = p - F.one_hot(p.argmax(dim=1), 4)
    assert selected(make_pool(h, logits), 1) == [int((a.norm(dim=1) * h.double().norm(dim=1)).argmax())]
    certain_but_long = make_pool(torch.tensor([[9.0], [1.0]]), torch.tensor([[20.0, 0], [0, 0]]))
    assert selected(certain_but_long, 1) == [1]


def test_second_is_drawn_by_squared_distance():
    pool = on_a_line([10, 9, 7, 0])  # D² to 10: 1 9 100
    counts = np.bincount([selected(pool, 2, seed)[1] for seed in range(600)], minlength=4)
    expected = 600 * np.array([0, 1, 9, 100]) / 110  # by distance: 1 3 10 of 14
    assert counts[0] == 0
    assert (np.abs(counts - expected)[1:] < 4 * np.sqrt(expected[1:]) + 1).all()


def test_third_is_drawn_by_distance_to_the_nearest():
    pool, at = on_a_line([10, 8, 3, 1, 0.5]), np.array([[10], [8], [3], [1], [0.5]])
    expected = chances(squared_distances(at), 0, 3)
    drawn = [tuple(selected(pool, 3, seed)) for seed in range(700)]
    assert set(drawn) <= set(expected)
    assert sum(expected.values()) == pytest.approx(1)
    chi_square = sum((drawn.count(picks) - 700 * p) ** 2 / (700 * p) for picks, p in expected.items())
    assert chi_square < 35  # 11 degrees of freedom: 99.98 % lie below


def test_origin_is_no_center():
    pool = on_a_line([100, 99, 97, 0.1])  # to the origin the last has a D² of 0.01, to 100 of 9,980 of 9,990
    assert sum(selected(pool, 2, seed)[1] == 3 for seed in range(100)) >= 95


def test_tiny_gradients_give_no_duplicates():
    h, logits = randn(1000, 8) * 2.0**-20, randn(1000, 3, seed=1)
    picks = selected(make_pool(h, logits), 500)
    assert len(set(picks)) == 500
    assert picks == selected(make_pool(h * 2.0**20, logits), 500)  # the scale changes nothing
    certain = make_pool(randn(1000, 8), torch.tensor([[13.8, 0.0]]).expand(1000, 2))  # p = 1 - 1e-6
    assert len(set(selected(certain, 500))) == 500


def test_without_gradients_rows_are_random():
    pool = make_pool(randn(50, 3), torch.tensor([[1e4, 0.0]]).expand(50, 2))
    drawn = [selected(pool, 10, seed) for seed in range(20)]
    assert all(len(set(picks)) == 10 for picks in drawn)
    assert len({row for picks in drawn for row in picks[1:]}) > 40
    assert sorted(selected(pool, 50)) == list(range(50))


def test_where_the_others_are_copies_each_of_them_may_follow():
    pool = on_a_line([5, 5, 5, 5, 5])
    counts = np.bincount([selected(pool, 2, seed)[1] for seed in range(400)], minlength=5)
    assert counts[0] == 0
    assert (np.abs(counts[1:] - 100) < 4 * np.sqrt(100)).all()


def test_different_rows_come_before_copies():
    h, logits = randn(3, 4).repeat(20, 1), randn(3, 5, seed=1).repeat(20, 1)
    for seed in range(10):
        picks = selected(make_pool(h, logits), 7, seed)
        assert {row % 3 for row in picks[:3]} == {0, 1, 2}
        assert len(set(picks)) == 7


def test_gradients_are_never_built(largest_tensor):
    pool = make_pool(randn(2000, 30), randn(2000, 20, seed=1))
    with largest_tensor() as largest:
        BADGE().select(pool, None, 20, generator())
    assert largest.numel <= 2000 * 30  # N · D; the gradients would be N · C · D, all distances N²


@pytest.mark.parametrize(("drawn", "row"), [(0.0, 1), (0.25, 3), (0.24, 1), (1 - 2**-53, 4), (1.0, 4)])
def test_row_without_weight_is_never_drawn(drawn, row):
    weight = torch.tensor([0.0, 1.0, 0.0, 1.0, 2.0, 0.0], dtype=torch.float64)
    assert draw_rows(weight, torch.tensor([drawn], dtype=torch.float64)).tolist() == [row]


def test_generator_decides():
    pool = make_pool(randn(100, 3), randn(100, 4, seed=1))
    assert selected(pool, 20, 1) == selected(pool, 20, 1) != selected(pool, 20, 2)
    assert BADGE().needs == {"logits", "embeddings"}
