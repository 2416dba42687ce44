"""Labels saved, by hand."""

import pytest

from msal_lightning.analysis.stats.savings import first_reached, labels_saved

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
