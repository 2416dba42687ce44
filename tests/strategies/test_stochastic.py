"""PowerAcquisition and SoftmaxAcquisition: their scores by hand, and how often each row is drawn."""

import math

import numpy as np
import pytest
import torch

from msal_lightning import select_indices
from msal_lightning.seeding import noise_of_rows
from msal_lightning.strategies import BALD, MSAL, Entropy, Margin, PowerAcquisition, SoftmaxAcquisition, Uncertainty
from msal_lightning.strategies.outputs import PoolOutputs

BOTH = [PowerAcquisition, SoftmaxAcquisition]
GIVEN = [0.1, 0.2, 0.3, 0.6]


class Given(Uncertainty):
    """The uncertainty is written in the logits, so that a test decides it."""

    def score(self, pool, seed):
        return pool.require("logits")[:, 0]


def make_pool(uncertainty, first=0):
    return PoolOutputs(first + torch.arange(len(uncertainty)), logits=torch.tensor(uncertainty)[:, None].repeat(1, 2))


def selected(strategy, pool, n, seed=0, size=1000):
    batches = [pool.rows(rows) for rows in torch.arange(len(pool)).split(size)]
    return select_indices(strategy, batches, None, n, torch.Generator().manual_seed(seed)).tolist()


def weights(cls, beta, uncertainty):
    u = np.array(uncertainty)
    return u**beta if cls is PowerAcquisition else np.exp(beta * u)


def near(counts, chances):
    """Within four standard deviations of what is expected."""
    expected = sum(counts) * np.array(chances)
    return (np.abs(np.array(counts) - expected) <= 4 * np.sqrt(expected) + 1).all()


@pytest.mark.parametrize("beta", [0.3, 1.0, 8.0])
@pytest.mark.parametrize("cls", BOTH)
def test_score_is_the_log_weight_plus_gumbel_noise(cls, beta):
    uncertainty = torch.rand(200, generator=torch.Generator().manual_seed(0)).tolist()
    pool = make_pool(uncertainty, first=5)
    got = cls(Given(), beta).score(pool, seed=12345)
    noise = noise_of_rows(12345, pool.index).tolist()
    log_weight = [beta * (math.log(u) if cls is PowerAcquisition else u) for u in pool.logits[:, 0].double().tolist()]
    expected = [w - math.log(-math.log(z)) for w, z in zip(log_weight, noise, strict=True)]
    assert got.dtype == torch.float32
    np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("beta", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("cls", BOTH)
def test_rows_are_drawn_by_weight_without_replacement(cls, beta):
    strategy, pool = cls(Given(), beta), make_pool(GIVEN, first=7)
    pairs = [tuple(row - 7 for row in selected(strategy, pool, 2, seed)) for seed in range(1000)]
    w = weights(cls, beta, GIVEN)
    assert near(np.bincount([first for first, _ in pairs], minlength=4), w / w.sum())
    drawn, chances = [], []
    for a in range(4):
        for b in set(range(4)) - {a}:
            drawn.append(pairs.count((a, b)))
            chances.append(w[a] / w.sum() * w[b] / (w.sum() - w[a]))
    assert sum(drawn) == 1000
    assert near(drawn, chances)


@pytest.mark.parametrize("beta", [1.0, 0.05])
def test_power_draws_certain_rows_last_and_at_random(beta):
    strategy, pool = PowerAcquisition(Given(), beta), make_pool([0.0, 0.3, 0.0, 0.001, 0.0, 0.0])
    drawn = [selected(strategy, pool, 6, seed) for seed in range(400)]
    assert all(set(rows[:2]) == {1, 3} for rows in drawn)  # 0 to any power is 0
    assert near(np.bincount([rows[2] for rows in drawn], minlength=6), [0.25, 0, 0.25, 0, 0.25, 0.25])


@pytest.mark.parametrize("cls", BOTH)
def test_large_beta_takes_the_highest(cls):
    uncertainty = (0.1 + torch.randperm(300, generator=torch.Generator().manual_seed(0)) / 300).tolist()
    best = sorted(range(300), key=lambda row: -uncertainty[row])[:20]
    assert selected(cls(Given(), 1e6), make_pool(uncertainty), 20) == best
    assert selected(cls(Given(), 1.0), make_pool(uncertainty), 20) != best


@pytest.mark.parametrize("cls", BOTH)
def test_margin_favours_undecided_rows(cls):
    logits = torch.tensor([[0.1, 0.0], [4.0, 0.0]]).repeat(50, 1)  # scores 0.95 and 0.04
    pool = PoolOutputs(torch.arange(100), logits=logits)
    drawn = [row for seed in range(40) for row in selected(cls(Margin(), beta=4.0), pool, 5, seed)]
    assert sum(row % 2 == 0 for row in drawn) > 0.9 * len(drawn)


@pytest.mark.parametrize("cls", BOTH)
def test_noise_belongs_to_the_image(cls):
    pool = make_pool(torch.rand(101, generator=torch.Generator().manual_seed(0)).tolist(), first=1000)
    strategy = cls(Given())
    score = strategy.score(pool, 3)
    order = torch.randperm(101, generator=torch.Generator().manual_seed(1))
    assert torch.equal(strategy.score(pool.rows(order), 3), score[order])
    assert torch.equal(strategy.score(pool.rows(torch.arange(60, 101)), 3), score[60:])
    for size in (1, 7):
        assert selected(strategy, pool, 9, 3, size) == selected(strategy, pool, 9, 3)
    assert selected(strategy, pool.rows(order), 9, 3) == selected(strategy, pool, 9, 3)
    assert selected(strategy, pool, 9, 3) != selected(strategy, pool, 9, 4)


@pytest.mark.parametrize("seed", [-3, 2**32 - 1, 2**64 - 1])
def test_any_seed_of_a_generator_will_do(seed):
    assert sorted(selected(SoftmaxAcquisition(Given()), make_pool(GIVEN), 4, seed)) == [0, 1, 2, 3]


@pytest.mark.parametrize("cls", BOTH)
def test_global_generator_is_not_read(cls):
    torch.manual_seed(0)
    first = selected(cls(Given()), make_pool(GIVEN), 4)
    torch.manual_seed(1)
    assert selected(cls(Given()), make_pool(GIVEN), 4) == first


@pytest.mark.parametrize(("cls", "prefix"), [(PowerAcquisition, "Power"), (SoftmaxAcquisition, "Softmax")])
def test_needs_and_name_are_those_of_the_uncertainty(cls, prefix):
    assert (cls().name, cls().needs, cls().mc_samples, cls().beta) == (f"{prefix}BALD", {"mc_logits"}, 10, 1.0)
    assert (cls(Entropy(7)).name, cls(Entropy(7)).mc_samples) == (f"{prefix}EntropyD", 7)
    assert (cls(BALD(3)).mc_samples, cls(Margin()).needs) == (3, {"logits"})
    strategy = cls(MSAL())
    assert (strategy.name, strategy.needs_prototypes, strategy.min_classes) == (f"{prefix}MSAL", True, 3)


@pytest.mark.parametrize("beta", [0, -1, math.nan, math.inf])
@pytest.mark.parametrize("cls", BOTH)
def test_beta_that_is_not_positive_is_refused(cls, beta):
    with pytest.raises(ValueError, match=rf"query\.beta must be a number above 0, got {beta}"):
        cls(Margin(), beta)
