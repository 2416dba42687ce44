"""Labels saved, by hand."""

import math

import numpy as np
import pytest

from msal_lightning.analysis.stats.bootstrap import redraws
from msal_lightning.analysis.stats.savings import first_reached, labels_saved, saved_with_interval

RANDOM = {0: {100: 0.4, 200: 0.6, 300: 0.7}, 1: {100: 0.6, 200: 0.6, 300: 0.9}}  # mean 0.5, 0.6, 0.8


def test_by_straight_lines_between_means():
    # mean of the method: 0.6, 0.9, 0.9; it reaches 0.8 at two thirds of the way from 100 to 200
    method = {0: {100: 0.5, 200: 0.8, 300: 0.9}, 1: {100: 0.7, 200: 1.0, 300: 0.9}, 5: {100: 0.0, 200: 0.0}}
    assert labels_saved(method, RANDOM) == pytest.approx(300 - (100 + 200 / 3))


def test_random_saves_nothing_against_itself():
    assert labels_saved(RANDOM, RANDOM) == 0.0


def test_random_counts_from_where_it_reached_its_end_first():
    bumpy = {0: {100: 0.5, 200: 0.9, 300: 0.7}}  # 0.7 is first reached at 150
    late = {0: {100: 0.5, 200: 0.6, 300: 0.7}}
    assert labels_saved(bumpy, bumpy) == 0.0
    assert labels_saved(late, bumpy) == pytest.approx(150 - 300)


def test_not_reached_or_not_comparable():
    assert labels_saved({0: {100: 0.1, 200: 0.2}}, RANDOM) is None
    assert labels_saved({7: {100: 1.0}}, RANDOM) is None


def test_first_reached():
    assert first_reached([(10, 0.5), (20, 0.7)], 0.4) == 10
    assert first_reached([(10, 0.5), (20, 0.7)], 0.7) == 20
    assert first_reached([(10, 0.5), (20, 0.4), (30, 0.6)], 0.55) == pytest.approx(27.5)
    assert first_reached([], 0.5) is None


def test_interval_is_that_of_a_naive_loop_over_the_same_draws():
    rng = np.random.default_rng(0)
    labels = np.array([10, 20, 40, 80, 100])
    random = np.sort(rng.random((12, 5)), axis=1)
    method = np.minimum(random + rng.normal(0.05, 0.05, size=(12, 5)), 1.0)
    found = saved_with_interval(method, random, labels, draws=200)
    saved = []
    for seeds in redraws(12, 200):
        ours, theirs = ([*zip(labels.tolist(), c[seeds].mean(axis=0), strict=True)] for c in (method, random))
        needed, by_random = (first_reached(curve, theirs[-1][1]) for curve in (ours, theirs))
        saved.append(-math.inf if needed is None else by_random - needed)
    assert (found.low, found.high) == pytest.approx((sorted(saved)[5], sorted(saved)[194]))
    curves = [
        {seed: dict(zip(labels.tolist(), row, strict=True)) for seed, row in enumerate(c)} for c in (method, random)
    ]
    assert found.value == pytest.approx(labels_saved(*curves))


def test_interval_without_spread_without_seeds_and_without_reaching_it():
    labels, random = np.array([10, 20]), np.array([[0.5, 0.7]])
    assert saved_with_interval(random - 0.1, random, labels) is None
    alone = saved_with_interval(random + 0.1, random, labels)
    assert (alone.value, math.isnan(alone.low)) == (pytest.approx(5.0), True)
    same = saved_with_interval(np.tile(random + 0.1, (4, 1)), np.tile(random, (4, 1)), labels)
    assert (same.low, same.high) == pytest.approx((5.0, 5.0))
