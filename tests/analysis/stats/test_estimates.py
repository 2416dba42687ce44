"""Intervals and tests against scipy, hand values and simulation."""

import numpy as np
import pytest
from scipy import stats

from msal_lightning.analysis.stats.estimates import accuracy_interval, against_random, next_gain


@pytest.mark.parametrize(("right", "n"), [(0, 10), (1, 1), (7, 10), (81, 100), (4930, 5000), (500, 500)])
def test_the_interval_of_an_accuracy_is_wilsons(right, n):
    expected = stats.binomtest(right, n).proportion_ci(method="wilson")
    got = accuracy_interval(right / n, n)
    assert (got.low, got.high) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert got.value == right / n


def test_it_covers_as_often_as_it_says():
    draw = np.random.default_rng(0)
    for p in (0.5, 0.9, 0.98):
        rights = draw.binomial(100, p, size=2000)
        intervals = [accuracy_interval(right / 100, 100) for right in rights]
        assert np.mean([i.low <= p <= i.high for i in intervals]) > 0.93


def test_the_gain_is_the_slope_over_the_logarithm():
    labels = [100, 200, 400, 800]
    exact = next_gain(labels, [0.5, 0.6, 0.7, 0.8], more=800)  # 0.1 for each doubling
    assert (exact.value, exact.low, exact.high) == pytest.approx((0.1, 0.1, 0.1))
    accuracies = [0.5, 0.62, 0.69, 0.8]
    got, oracle = next_gain(labels, accuracies, more=800), stats.linregress(np.log(labels), accuracies)
    half = stats.t.ppf(0.975, 2) * oracle.stderr
    expected = [np.log(2) * slope for slope in (oracle.slope, oracle.slope - half, oracle.slope + half)]
    assert [got.value, got.low, got.high] == pytest.approx(expected)


def test_the_gain_looks_at_the_last_five_rounds_only():
    late = [1000, 1100, 1200, 1300, 1400], [0.8, 0.81, 0.805, 0.82, 0.825]
    assert next_gain([10, 20, *late[0]], [0.1, 0.9, *late[1]]) == next_gain(*late)


def test_an_accuracy_ends_at_one_and_zero():
    got = next_gain([10, 20, 40], [0.5, 0.7, 0.9], more=1000)
    assert (got.value, got.high) == pytest.approx((0.1, 0.1))
    steep = next_gain([10, 20, 40], [0.1, 0.9, 0.2], more=1000)
    assert (steep.low, steep.high) == pytest.approx((-0.2, 0.8))


@pytest.mark.parametrize("rounds", [0, 1, 2])
def test_too_few_rounds_have_no_slope(rounds):
    assert next_gain([100, 200][:rounds], [0.5, 0.6][:rounds]) is None


def test_its_interval_covers_as_often_as_it_says():
    draw, labels = np.random.default_rng(1), np.array([100, 200, 300, 400, 500])
    true = 0.05 * np.log1p(100 / 500)
    found = [next_gain(labels.tolist(), 0.5 + 0.05 * np.log(labels) + draw.normal(0, 0.01, 5)) for _ in range(2000)]
    assert abs(np.mean([gain.low <= true <= gain.high for gain in found]) - 0.95) < 0.02


def test_random_on_several_seeds_is_compared_in_pairs():
    ours = {0: {100: 0.5, 200: 0.71}, 1: {100: 0.5, 200: 0.74}, 2: {100: 0.5, 200: 0.70}, 9: {100: 0.1}}
    random = {s: {100: 0.6, 200: a, 300: 0.9} for s, a in enumerate((0.68, 0.70, 0.69))}
    got = against_random(ours, random, None)
    expected = stats.ttest_rel([0.71, 0.74, 0.70], [0.68, 0.70, 0.69])
    assert (got.labels, got.seeds, got.p) == (200, 3, pytest.approx(expected.pvalue))
    assert got.beaten == (expected.pvalue < 0.05)


def test_random_on_one_seed_is_compared_by_the_test_images():
    got = against_random({0: {100: 0.90}}, {0: {100: 0.85}}, 500)
    table = [[450, 50], [425, 75]]
    assert got.p == pytest.approx(stats.chi2_contingency(table, correction=False).pvalue)
    assert got.beaten
    assert not against_random({0: {100: 0.85}}, {0: {100: 0.90}}, 500).beaten
    assert not against_random({0: {100: 0.86}}, {0: {100: 0.85}}, 500).beaten
    assert against_random({0: {100: 0.9}}, {0: {100: 0.8}}, None).p is None


def test_nothing_shared_is_not_compared():
    assert against_random({0: {100: 0.9}}, {1: {100: 0.9}}, 10) is None
    assert against_random({0: {100: 0.9}}, {0: {200: 0.9}}, 10) is None
    assert against_random({0: {100: 1.0}}, {0: {100: 1.0}}, 10).p == 1.0
