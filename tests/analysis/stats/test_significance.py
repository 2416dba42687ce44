"""Paired tests and Holm's correction, against hand values and formulas."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import stdtr

from msal_lightning.analysis.stats.significance import holm, paired_t, paired_tests


def test_holm_by_hand():
    # sorted: 0.005·4, 0.01·3, 0.03·2, 0.04·1; the last may not fall below the one before
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_rejects_what_stepping_down_rejects(p_values):
    level, rejected = 0.05, set()
    for k, i in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        if p_values[i] * (len(p_values) - k) >= level:
            break
        rejected.add(i)
    assert {i for i, p in enumerate(holm(p_values)) if p < level} == rejected


def test_t_by_its_formula():
    differences = np.array([0.01, 0.03, -0.005, 0.02])
    t = differences.mean() / (differences.std(ddof=1) / math.sqrt(4))
    found, p = paired_t(differences)
    assert found == pytest.approx(t)
    assert p == pytest.approx(2 * stdtr(3, -abs(t)))


def test_differences_without_spread():
    assert paired_t(np.array([0.0, 0.0, 0.0])) == (0.0, 1.0)
    assert paired_t(np.array([0.9 - 0.8, 0.5 - 0.4])) == (math.inf, 0.0)  # equal but for rounding
    assert paired_t(np.array([0.1])) == (None, None)


def test_methods_meet_on_the_seeds_they_share():
    (test,) = paired_tests({"a": {0: 0.9, 1: 0.8, 7: 0.1}, "b": {1: 0.7, 0: 0.6, 9: 1.0}})
    assert (test.first, test.second, test.seeds) == ("a", "b", 2)
    assert test.difference == pytest.approx((0.3 + 0.1) / 2)
    # one degree of freedom is Cauchy's distribution: p = 1 - 2/π·atan(t), and t = 0.2 / (0.1·√2/√2)
    assert test.t_p == pytest.approx(1 - 2 / math.pi * math.atan(2.0))
    assert test.holm_p == test.t_p
    assert test.wilcoxon_p is None


def test_one_seed_is_no_test_and_counts_for_no_correction():
    tests = paired_tests({"a": {0: 0.9, 1: 0.8}, "b": {0: 0.6, 1: 0.7}, "c": {0: 0.5}, "d": {5: 0.5}})
    assert [(t.first, t.second, t.t_p is None) for t in tests] == [
        ("a", "b", False),
        ("a", "c", True),
        ("b", "c", True),
    ]
    assert tests[0].holm_p == tests[0].t_p


def test_wilcoxon_from_six_seeds():
    better = {seed: 0.5 + 0.01 * (seed + 1) for seed in range(6)}
    (test,) = paired_tests({"a": better, "b": dict.fromkeys(range(6), 0.5)})
    assert test.wilcoxon_p == pytest.approx(2 / 2**6)  # all six signs alike, on either side
    (same,) = paired_tests({"a": better, "b": better})
    assert (same.t_p, same.wilcoxon_p) == (1.0, 1.0)
    (five,) = paired_tests({"a": {s: better[s] for s in range(5)}, "b": better})
    assert five.wilcoxon_p is None
