"""The penalty matrix, against a loop over the formula of its paper."""

import math

import numpy as np
import pytest

from msal_lightning.analysis.stats.penalty import column_means, penalty_matrix

CRITICAL = {2: 12.706, 3: 4.303, 5: 2.776}  # of t, two-sided 5 %, by number of seeds: from a printed table


@pytest.mark.parametrize("num_seeds", CRITICAL)
def test_entries_by_the_papers_formula(num_seeds):
    random = np.random.default_rng(0)
    accuracy = random.normal(size=(4, num_seeds, 30)) + np.array([0, 1, 2, 4])[:, None, None] * 1.5
    expected = np.zeros((4, 4))
    for i in range(4):
        for j in range(4):
            for budget in range(30):
                e = accuracy[i, :, budget] - accuracy[j, :, budget]
                mu = sum(e) / num_seeds
                sigma = math.sqrt(sum((x - mu) ** 2 for x in e) / (num_seeds - 1))
                if sigma and math.sqrt(num_seeds) * mu / sigma > CRITICAL[num_seeds]:
                    expected[i, j] += 1 / 30
    assert 0 < expected.sum() < 6
    curves = {
        f"m{i}": {s: {100 * b: float(accuracy[i, s, b]) for b in range(30)} for s in range(num_seeds)} for i in range(4)
    }
    np.testing.assert_allclose(np.array(penalty_matrix(curves), dtype=float), expected)


def test_only_shared_seeds_and_budgets_count():
    a = {0: {10: 0.9, 20: 0.9, 30: 0.0}, 1: {10: 0.8, 20: 0.81}, 2: {10: 0.0, 20: 0.0}}
    b = {0: {10: 0.9, 20: 0.7}, 1: {10: 0.8, 20: 0.6}}
    # at 10 labels the two are equal, at 20 the differences are 0.2 and 0.21: t = 0.205 / 0.005 = 41 > 12.7
    assert penalty_matrix({"a": a, "b": b}) == [[0.0, 0.5], [0.0, 0.0]]


def test_one_shared_seed_has_no_entry():
    matrix = penalty_matrix({"a": {0: {10: 0.9}}, "b": {0: {10: 0.1}, 1: {10: 0.1}}})
    assert matrix == [[0.0, None], [None, 0.0]]
    assert column_means(matrix) == [None, None]


def test_column_means_have_the_diagonal_in_as_the_authors_do():
    matrix = [[0.0, 0.5, 0.2], [0.1, 0.0, 0.4], [0.3, 0.0, 0.0]]
    assert column_means(matrix) == pytest.approx(np.array(matrix).mean(axis=0))
    assert column_means([[0.0, 0.5, None], [0.1, 0.0, 0.4], [0.3, 0.0, 0.0]]) == pytest.approx([0.4 / 3, 0.5 / 3, 0.2])
