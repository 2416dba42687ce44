"""MaxHerding against the greedy algorithm on a matrix of all kernels, and against scikit-activeml's."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from skactiveml.pool import MaxHerding as Theirs

from msal_lightning import select_indices
from msal_lightning.strategies import MaxHerding, shared
from msal_lightning.strategies.outputs import PoolOutputs
from msal_lightning.strategies.shared.coverage_gains import CoverageGains
from msal_lightning.strategies.shared.kernels import Kernel
from msal_lightning.strategies.shared.unit_rows import UnitRows


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed))


def clusters(count, rows, dimensions, seed=0):
    """Groups of different sizes, far from the origin like features after a ReLU."""
    size = torch.arange(1, count + 1) * 2 * rows // (count + 1)
    centers = 2 * randn(count, dimensions, seed=seed).repeat_interleave(size, dim=0)
    return (centers + randn(len(centers), dimensions, seed=seed + 1)).clamp(min=0)


def outputs(embeddings, first=0):
    return PoolOutputs(first + torch.arange(len(embeddings)), embeddings=torch.as_tensor(embeddings))


def selected(x, labeled, n, seed=0, **options):
    labeled = None if labeled is None else outputs(labeled, first=10_000)
    return select_indices(MaxHerding(**options), [outputs(x)], labeled, n, generator(seed)).tolist()


def unit(x):
    x = np.asarray(x, dtype=np.float64)
    length = np.linalg.norm(x, axis=1, keepdims=True)
    return x / np.where(length == 0, 1, length)


def kernels(x, others, kernel, sigma):
    square = ((unit(x)[:, None] - unit(others)[None]) ** 2).sum(axis=2) / sigma**2
    return np.exp(-square) if kernel == "gaussian" else (1 + 2 * square) ** -0.75


def greedy(x, labeled, n, kernel="gaussian", sigma=1.0, weight=1.0):
    """Rows with the largest gain, one at a time; each gain from the formula. Copies are equal to ten digits."""
    near = kernels(x, x, kernel, sigma)
    cover = np.zeros(len(x)) if labeled is None else kernels(x, labeled, kernel, sigma).max(axis=1)
    picks = []
    for _ in range(n):
        gain = (weight * np.maximum(near - cover, 0)).mean(axis=1)
        gain[picks] = -1
        picks.append(int((gain >= gain.max() * (1 - 1e-10)).argmax()))
        cover = np.maximum(cover, near[picks[-1]])
    return picks


POOLS = {
    "clusters": clusters(6, 30, 12),
    "isotropic": randn(200, 30),  # the gains of all rows fall with each of the first picks
    "line": torch.stack([torch.linspace(0, 3, 200).cos(), torch.linspace(0, 3, 200).sin()], dim=1),
    "opposite": torch.cat([randn(100, 3), -randn(100, 3)]),
}


@pytest.fixture(params=[2, 64])
def many(request, monkeypatch):
    """Numbers of rows looked at together: as few as can be, or all of a test."""
    monkeypatch.setattr(shared.greedy_coverage, "_MOST", request.param)
    monkeypatch.setattr(shared.coverage_gains, "_TILE", 70 if request.param == 2 else 512)


@pytest.mark.parametrize("sigma", [1.0, 0.2])
@pytest.mark.parametrize("kernel", ["gaussian", "student_t"])
@pytest.mark.parametrize("num_labeled", [0, 20])
@pytest.mark.parametrize("name", POOLS)
def test_picks_are_those_of_the_greedy_algorithm(many, name, num_labeled, kernel, sigma):
    x, labeled = POOLS[name][num_labeled:], POOLS[name][:num_labeled] if num_labeled else None
    got = selected(x, labeled, 25, kernel=kernel, sigma=sigma)
    assert got == greedy(x, labeled, 25, kernel, sigma)


@pytest.mark.parametrize(("rows", "n"), [(400, 25), pytest.param(3000, 100, marks=pytest.mark.slow)])
@pytest.mark.parametrize("num_labeled", [0, 30])
@pytest.mark.parametrize("sigma", [1.0, 0.4])
def test_picks_are_those_of_scikit_activeml(rows, n, num_labeled, sigma):
    # with more picks, the last two rows of a group may gain equally much by each other, and theirs takes any
    x = clusters(10, rows // 10, 64)
    x = x[torch.randperm(len(x), generator=generator())]
    y = np.where(np.arange(len(x)) < num_labeled, 0, np.nan)
    theirs = Theirs(metric="rbf", metric_dict={"gamma": 1 / sigma**2}, random_state=0)
    expected = theirs.query(x.numpy().astype(np.float64), y, batch_size=n) - num_labeled
    assert selected(x[num_labeled:], x[:num_labeled] if num_labeled else None, n, sigma=sigma) == expected.tolist()


def test_worked_example_on_the_circle():
    # Row 1 is in the middle of the larger group. Rows 3 and 4 gain equally much, so 3 is taken. Then 4 is 6 degrees
    # from a taken row, 0 and 2 are only 5.
    angle = torch.deg2rad(torch.tensor([5.0, 0, -5, 183, 177]))
    x = torch.stack([angle.cos(), angle.sin()], dim=1)
    assert selected(x, None, 5) == [1, 3, 4, 0, 2]
    assert selected(5 * x, x[:2], 1) == [3]  # lengths say nothing, and labeled rows cover


def test_the_first_of_equal_gains_is_taken_and_copies_add_nothing():
    x = torch.eye(4).repeat(3, 1)
    for seed in range(3):
        picks = selected(x, None, 12, seed)
        assert picks[:4] == [0, 1, 2, 3]
        assert sorted(picks) == list(range(12))
    assert len({tuple(selected(x, None, 12, seed)) for seed in range(9)}) > 5  # the rest is random
    assert len({tuple(selected(x, x[:4], 12, seed)) for seed in range(9)}) > 5


def test_rows_of_zeros_are_equally_far_from_all_others():
    x = torch.cat([torch.zeros(3, 5), randn(60, 5)])
    picks = selected(x, None, 30)
    assert picks == greedy(x, None, 30)
    assert sum(row < 3 for row in picks) <= 1


def test_picks_do_not_depend_on_the_precision_of_products_or_numbers(monkeypatch):
    x, labeled = clusters(6, 50, 40), randn(20, 40, seed=1)
    expected = selected(x, labeled, 60)
    assert selected(x.double(), labeled.double(), 60) == expected
    monkeypatch.setattr(shared.unit_rows, "_KEPT", 0)
    assert selected(x, labeled, 60) == expected
    try:
        torch.set_float32_matmul_precision("medium")
        assert selected(x, labeled, 60) == expected
    finally:
        torch.set_float32_matmul_precision("highest")


@pytest.mark.parametrize("sigma", [1.0, 0.2, 0.004])
@pytest.mark.parametrize("kernel", ["gaussian", "student_t"])
def test_bounds_hold_and_are_close(kernel, sigma):
    x, weight = F.normalize(randn(700, 50).abs(), dim=1), torch.rand(700, generator=generator()).double()
    gains = CoverageGains(UnitRows(x), Kernel(kernel, sigma), weight)
    before = gains.cover_of(UnitRows(x[:5] + 0.1))
    after = torch.maximum(before, gains.cover_of(UnitRows(x[9:10])))
    raised = (after > before).nonzero()[:, 0]
    exact, _ = gains.exact(torch.arange(700), before)
    bound = gains.bounds(before)
    assert (bound >= exact).all()
    assert (bound <= exact * 1.05 + 1e-3).all()
    later = bound - gains.losses(raised, before[raised], after[raised])
    exact, _ = gains.exact(torch.arange(700), after)
    assert (later >= exact).all()
    assert (later <= exact * 1.05 + 1e-3).all()


def test_memory_is_no_matrix_of_all_pairs(monkeypatch, largest_tensor):
    monkeypatch.setattr(shared.coverage_gains, "_TILE", 100)
    pool, labeled = outputs(randn(1500, 4)), outputs(randn(500, 4, seed=1), first=10_000)
    with largest_tensor() as largest:
        MaxHerding().select(pool, labeled, 30, generator())
    assert largest.numel <= 1500 * 30  # all kernels would be 1,500 · 1,500


@pytest.mark.parametrize("sigma", [0, -1.0, float("nan"), float("inf")])
def test_a_bandwidth_that_is_not_above_zero_is_refused(sigma):
    with pytest.raises(ValueError, match=r"query\.sigma must be a number above 0"):
        MaxHerding(sigma=sigma)


def test_needs():
    strategy = MaxHerding()
    assert (strategy.needs, strategy.needs_labeled, strategy.shortlist_size(5)) == ({"embeddings"}, True, None)
