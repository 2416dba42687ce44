"""BAIT against its objective with dense matrices, greedy without shortcuts."""

import numpy as np
import pytest
import torch

from msal_lightning import select_indices
from msal_lightning.strategies import BAIT, shared
from msal_lightning.strategies.bait import _components
from msal_lightning.strategies.outputs import PoolOutputs
from msal_lightning.strategies.shared.fisher import Design, Fishers


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def outputs(rows, num_classes, dimensions, seed=0, first=0):
    draw = generator(seed)
    embeddings = torch.randn(rows, dimensions, generator=draw) * torch.rand(rows, 1, generator=draw)
    weight = torch.randn(num_classes, dimensions, generator=generator(99))
    return PoolOutputs(first + torch.arange(rows), logits=embeddings @ weight.T, embeddings=embeddings)


def selected(strategy, pool, labeled, n, seed=0):
    return select_indices(strategy, [pool], labeled, n, generator(seed)).tolist()


def fisher(outputs, row):
    """Expected outer product of the loss gradient at a linear layer, by its definition: (C·D, C·D)."""
    logits, h = outputs.logits[row].double(), outputs.embeddings[row].double()
    p = torch.softmax(logits, dim=0)
    total = 0
    for k in range(len(p)):
        g = torch.outer(p - torch.eye(len(p), dtype=torch.float64)[k], h).flatten()
        total = total + p[k] * torch.outer(g, g)
    return total.numpy()


def naive(pool, labeled, n, regularization):
    """Forward and backward steps with dense inverses; also returns the objective."""
    fishers = [fisher(pool, row) for row in range(len(pool))]
    old = [fisher(labeled, row) for row in range(len(labeled))] if labeled else []
    target = sum(fishers + old) / (len(fishers) + len(old))
    size = len(old) + n

    def trace(rows):
        m = regularization * np.eye(len(target)) + sum(old) / size + n / size * sum(fishers[row] for row in rows)
        return np.trace(np.linalg.inv(m) @ target)

    picks = []
    while len(picks) < min(2 * n, len(pool)):
        picks.append(min(set(range(len(pool))) - set(picks), key=lambda row: trace([*picks, row])))
    while len(picks) > n:
        picks.remove(min(picks, key=lambda row: trace([other for other in picks if other != row])))
    return picks, trace


@pytest.mark.parametrize(("num_classes", "dimensions", "known"), [(2, 5, 6), (3, 4, 0), (5, 3, 12)])
@pytest.mark.parametrize("regularization", [1.0, 0.01])
def test_picks_are_those_of_dense_matrices(num_classes, dimensions, known, regularization):
    for seed in range(3):
        pool = outputs(40, num_classes, dimensions, seed)
        labeled = outputs(known, num_classes, dimensions, seed + 50, first=1000) if known else None
        expected, _ = naive(pool, labeled, 5, regularization)
        assert selected(BAIT(regularization), pool, labeled, 5) == expected


def test_most_of_the_pool_is_queried():
    pool = outputs(9, 3, 2)
    assert selected(BAIT(), pool, None, 7) == naive(pool, None, 7, 1.0)[0]


def test_an_image_without_information_comes_last():
    pool = outputs(20, 3, 4)
    pool.logits[3] = torch.tensor([200.0, 0, 0])
    pool.embeddings[11] = 0
    assert set(selected(BAIT(), pool, None, 18)) == set(range(20)) - {3, 11}


def test_many_equal_gains_come_to_an_end():
    flat = torch.zeros(300, 3)
    pool = PoolOutputs(torch.arange(300), logits=flat, embeddings=flat)
    assert len(set(selected(BAIT(), pool, None, 2))) == 2


def test_the_batch_beats_random_batches():
    pool, labeled = outputs(60, 4, 3), outputs(5, 4, 3, seed=5, first=1000)
    picks = selected(BAIT(0.1), pool, labeled, 8)
    _, trace = naive(pool, labeled, 1, 0.1)
    drawn = [torch.randperm(60, generator=generator(seed))[:8].tolist() for seed in range(200)]
    assert trace(picks) < min(map(trace, drawn))


def test_factors_give_the_matrices(monkeypatch):
    pool = outputs(7, 4, 3)
    fishers = Fishers(pool.logits.double().softmax(dim=1), pool.embeddings)
    for row in range(7):
        v = fishers.factor(row)
        dense = np.linalg.eigvalsh(fisher(pool, row))
        np.testing.assert_allclose(np.linalg.eigvalsh((v.T @ v).numpy())[-5:], dense[-5:], atol=1e-12)
    factors = [fishers.factor(row) for row in range(7)]
    matrix = torch.randn(9, 9, generator=generator(), dtype=torch.float64)
    matrix += matrix.T.clone()
    for block in (1, 8_000_000):
        monkeypatch.setattr(shared.distances, "_BLOCK", block)
        torch.testing.assert_close(fishers.total(), sum(v.T @ v for v in factors))
        rows = torch.tensor([4, 1])
        torch.testing.assert_close(
            fishers.products(rows, matrix),
            torch.stack([factors[4] @ matrix @ factors[4].T, factors[1] @ matrix @ factors[1].T]),
        )


def test_woodbury_gives_the_trace_after_many_steps():
    pool = outputs(30, 4, 5)
    fishers = Fishers(pool.probabilities(), pool.embeddings)
    start, target = torch.eye(15, dtype=torch.float64) / 10, fishers.total() / 30
    design, rows = Design(fishers, 0.7, start, target), torch.arange(30)
    for row, sign in [*((row, 1) for row in range(25)), *((row, -1) for row in range(0, 25, 2))]:
        design.update(row, sign)
    m = start + 0.7 * sum(fishers.factor(row).T @ fishers.factor(row) for row in range(1, 25, 2))
    trace = torch.trace(torch.linalg.inv(m) @ target)
    v = fishers.factor(29)
    added = trace - torch.trace(torch.linalg.inv(m + 0.7 * v.T @ v) @ target)
    torch.testing.assert_close(design.change(rows, 1)[29], added)
    v = fishers.factor(3)
    removed = torch.trace(torch.linalg.inv(m - 0.7 * v.T @ v) @ target) - trace
    torch.testing.assert_close(design.change(rows, -1)[3], removed)


def test_components_keep_the_products_of_rows_that_fit():
    x = torch.randn(50, 3, generator=generator()) @ torch.randn(3, 40, generator=generator(1))
    found = _components(x, 3, generator())
    assert found.shape == (50, 3)
    torch.testing.assert_close(found @ found.T, x @ x.T, atol=1e-3, rtol=1e-3)
    assert _components(x, 40, generator()) is x


def test_a_rotation_changes_nothing():
    pool = outputs(40, 3, 12)
    flat = PoolOutputs(
        pool.index, logits=pool.logits, embeddings=torch.cat([pool.embeddings, torch.zeros(40, 8)], dim=1)
    )
    assert selected(BAIT(parameters=24), flat, None, 5) == selected(BAIT(), pool, None, 5)


@pytest.mark.parametrize("options", [{"regularization": 0}, {"regularization": torch.nan}, {"parameters": 0}])
def test_options_out_of_range_are_refused(options):
    with pytest.raises(ValueError, match=rf"query\.{next(iter(options))} must be"):
        BAIT(**options)
