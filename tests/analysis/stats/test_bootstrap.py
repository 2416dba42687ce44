"""Bootstrap intervals, against naive loops, scipy and the t-interval of normal values."""

import math

import numpy as np
import pytest
from scipy import stats

from msal_lightning.analysis.stats.bootstrap import (
    interval,
    mean_difference,
    pooled_std,
    redraws,
    standardized_difference,
)


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(0.01, 0.02, size=shape)


def test_mean_of_one_block_is_that_of_scipy_and_near_the_t_interval():
    values = normal(0, 200)
    found = mean_difference([values], draws=20_000)
    assert found.value == values.mean()
    theirs = stats.bootstrap((values,), np.mean, method="percentile", rng=np.random.default_rng(1), n_resamples=5000)
    error = values.std(ddof=1) / math.sqrt(200)
    assert found.low == pytest.approx(theirs.confidence_interval.low, abs=0.15 * error)
    assert found.high == pytest.approx(theirs.confidence_interval.high, abs=0.15 * error)
    assert (found.high - found.low) / 2 == pytest.approx(stats.t.ppf(0.975, 199) * error, rel=0.06)


def test_blocks_count_the_same_and_their_seeds_are_drawn_apart():
    blocks = [normal(1, 40), 1.0 + normal(2, 7)]
    found = mean_difference(blocks, draws=300)
    assert found.value == pytest.approx((blocks[0].mean() + blocks[1].mean()) / 2)
    means, effects = [], []
    for draw in range(300):
        drawn = [block[redraws(len(block), 300, k)[draw]] for k, block in enumerate(blocks)]
        means.append(sum(part.mean() for part in drawn) / 2)
        effects.append(means[-1] / math.sqrt(sum(part.var(ddof=1) for part in drawn) / 2))
    assert (found.low, found.high) == pytest.approx((sorted(means)[7], sorted(means)[292]))
    effect = standardized_difference(blocks, draws=300)
    assert effect.value == pytest.approx(found.value / pooled_std(blocks))
    assert (effect.low, effect.high) == pytest.approx((sorted(effects)[7], sorted(effects)[292]))


def test_one_seed_has_no_interval_and_equal_differences_no_effect():
    one = mean_difference([normal(0, 1)])
    assert math.isnan(one.low)
    assert math.isnan(standardized_difference([normal(0, 1)]).value)
    assert math.isnan(standardized_difference([np.full(5, 0.25)]).value)
    assert mean_difference([np.full(5, 0.25)]).high == 0.25
    assert math.isnan(pooled_std([normal(0, 5), normal(0, 1)]))


def test_infinite_values_may_be_an_end():
    drawn = np.array([-np.inf] * 10 + [*range(90)], dtype=float)
    found = interval(3.0, drawn)
    assert (found.low, found.high) == (-math.inf, 87.0)


def test_draws_are_the_same_each_time_and_uniform():
    assert np.array_equal(redraws(10), redraws(10))
    assert not np.array_equal(redraws(10), redraws(10, block=1))
    counts = np.bincount(redraws(10).ravel(), minlength=10)
    assert stats.chisquare(counts).pvalue > 1e-3
