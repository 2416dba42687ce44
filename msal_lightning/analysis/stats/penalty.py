"""The pairwise penalty matrix: how often a method is beaten along the budget."""

import statistics
from collections.abc import Mapping

import numpy as np

from msal_lightning.analysis.stats.significance import paired_t

LEVEL = 0.05
"""Two-sided significance level; with the five seeds of Ash et al. this is their threshold, t > 2.776."""


def penalty_matrix(curves: Mapping[str, Mapping[int, Mapping[int, float]]]) -> list[list[float | None]]:
    """Return the share of label budgets at which one method beats another.

    For each pair (i, j) and each of the L numbers of labels at which both were tested on the seeds that they share, a
    two-sided paired t-test over those seeds compares their accuracies: i beats j where t > 0 and p < 0.05, and 1/L is
    added to entry (i, j). An entry lies between 0 and 1; no correction for many tests is made. Differences that are the
    same on all seeds and not zero count as a win (infinite t).

    Ash et al. do the same with five seeds, and add up over datasets, models and batch sizes; here there is one setting.
    They double the budgets, and stop when Random reaches 99 % of its final accuracy; here all budgets count, even the
    initial set, after which methods with the same head have the same model.

    [0] Ash et al., 2020, Deep Batch Active Learning by Diverse, Uncertain Gradient Lower Bounds, arXiv 1906.03671

    Args:
        curves: accuracy by method, seed and number of labels.

    Returns:
        Rows in the order of ``curves``; 0 on the diagonal, None where a pair shares fewer than two seeds.
    """
    return [[0.0 if i == j else _beats(curves[i], curves[j]) for j in curves] for i in curves]


def column_means(matrix: list[list[float | None]]) -> list[float | None]:
    """Return the penalty of each method; lower is better.

    It is the mean of the method's column with the 0 on the diagonal, as in the authors' code. Pairs without an entry
    are left out.

    Args:
        matrix: result of :func:`penalty_matrix`.

    Returns:
        One number per method; None for a method without any comparison.
    """
    columns = [[value for row in matrix if (value := row[j]) is not None] for j in range(len(matrix))]
    return [statistics.fmean(column) if len(column) > 1 else None for column in columns]


def _beats(first: Mapping[int, Mapping[int, float]], second: Mapping[int, Mapping[int, float]]) -> float | None:
    seeds = sorted(set(first) & set(second))
    if len(seeds) < 2:
        return None
    budgets = set.intersection(*(set(curve[seed]) for curve in (first, second) for seed in seeds))
    if not budgets:
        return None
    wins = 0
    for labels in budgets:
        t, p = paired_t(np.array([first[seed][labels] - second[seed][labels] for seed in seeds]))
        wins += t is not None and p is not None and t > 0 and p < LEVEL
    return wins / len(budgets)
