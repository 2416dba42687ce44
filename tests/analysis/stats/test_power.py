"""Numbers of seeds, against published sample sizes and a simulation."""

import math

import numpy as np
import pytest
from scipy import stats

from msal_lightning.analysis.stats.power import power, seeds_needed


@pytest.mark.parametrize(("effect", "pairs"), [(0.2, 199), (0.5, 34), (0.8, 15), (1.0, 10)])
def test_sample_sizes_of_the_paired_t_test(effect, pairs):
    # G*Power 3, two tails, level 0.05, power 0.8
    assert seeds_needed(1.0, effect) == pairs
    assert seeds_needed(0.01 / effect, -0.01) == pairs
    assert power(pairs, effect) >= 0.8 > power(pairs - 1, effect)


def test_power_is_the_share_of_simulated_tests():
    draws = np.random.default_rng(0).normal(0.6, 1.0, size=(20_000, 12))
    share = (stats.ttest_1samp(draws, 0.0, axis=1).pvalue < 0.05).mean()
    assert power(12, 0.6) == pytest.approx(share, abs=4 * math.sqrt(0.25 / 20_000))
    assert power(12, 0.0) == pytest.approx(0.05)


def test_extremes():
    assert seeds_needed(0.0) == 2
    assert seeds_needed(1e-9) == 2
    assert seeds_needed(100.0) is None
