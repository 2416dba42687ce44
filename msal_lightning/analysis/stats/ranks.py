"""Ranks of treatments over blocks, and the tests on them, as Demšar recommends.

[0] Demšar, 2006, Statistical Comparisons of Classifiers over Multiple Data Sets, JMLR 7

Treatments are query strategies, for example. Blocks are datasets, or the seeds of one dataset. A higher score is
better.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from msal_lightning.analysis.stats.significance import WILCOXON_FROM, holm

LEVEL = 0.05
"""Largest p of a significant difference."""


@dataclass(frozen=True)
class Friedman:
    """The test of the hypothesis that all treatments have the same rank.

    Attributes:
        chi_square: Friedman's statistic, corrected for ties.
        p: its p-value.
        f: the statistic of Iman and Davenport, which is less conservative.
        f_p: its p-value.
    """

    chi_square: float
    p: float
    f: float
    f_p: float


def ranks(scores: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the rank of each treatment in each block, 1 for the highest score; equal scores share their mean rank.

    Args:
        scores: (N, K), a row for each block.
    """
    found: NDArray[np.float64] = stats.rankdata(-np.asarray(scores, dtype=np.float64), axis=1)
    return found


def mean_ranks(scores: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the rank of each treatment, mean over blocks: (N, K) to (K,)."""
    mean: NDArray[np.float64] = ranks(scores).mean(axis=0)
    return mean


def friedman(scores: NDArray[np.floating]) -> Friedman | None:
    """Test whether all treatments have the same rank.

    Args:
        scores: (N, K).

    Returns:
        The test; None for fewer than two blocks or three treatments, or if all treatments are equal in all blocks.
    """
    n, k = scores.shape
    if n < 2 or k < 3 or not np.ptp(ranks(scores)):
        return None
    result = stats.friedmanchisquare(*np.asarray(scores).T)
    chi_square = float(result.statistic)
    rest = n * (k - 1) - chi_square
    if rest < 1e-9:  # the same order in all blocks
        return Friedman(chi_square, float(result.pvalue), math.inf, 0.0)
    f = (n - 1) * chi_square / rest
    return Friedman(chi_square, float(result.pvalue), f, float(stats.f.sf(f, k - 1, (k - 1) * (n - 1))))


def critical_difference(num_treatments: int, num_blocks: int, level: float = LEVEL) -> float:
    """Return the difference of mean ranks from which two treatments differ by Nemenyi's test.

    Args:
        num_treatments: K, at least 2.
        num_blocks: N.
        level: probability of any false difference.
    """
    q = float(stats.studentized_range.ppf(1 - level, num_treatments, math.inf)) / math.sqrt(2)
    return q * math.sqrt(num_treatments * (num_treatments + 1) / (6 * num_blocks))


def differs_by_nemenyi(scores: NDArray[np.floating], level: float = LEVEL) -> NDArray[np.bool_]:
    """Return which pairs of treatments differ by Nemenyi's test: (N, K) to (K, K)."""
    mean = mean_ranks(scores)
    found: NDArray[np.bool_] = np.abs(mean[:, None] - mean) >= critical_difference(len(mean), len(scores), level)
    return found


def wilcoxon_holm(scores: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return p-values of Wilcoxon's signed-rank test for each pair, by Holm's correction for all pairs.

    Ranks of differences of 0 are split between both signs, as in Demšar's paper.

    Args:
        scores: (N, K).

    Returns:
        (K, K), with 1 on the diagonal; NaN elsewhere for fewer than six blocks, because no p could be below 1/16.
    """
    n, k = scores.shape
    found = np.full((k, k), math.nan if n < WILCOXON_FROM else 1.0)
    np.fill_diagonal(found, 1.0)
    if n < WILCOXON_FROM:
        return found
    pairs = [*itertools.combinations(range(k), 2)]
    corrected = holm([_signed_rank(scores[:, a] - scores[:, b]) for a, b in pairs])
    for (a, b), p in zip(pairs, corrected, strict=True):
        found[a, b] = found[b, a] = p
    return found


def smallest_p(num_blocks: int, num_treatments: int) -> float:
    """Return the smallest p that :func:`wilcoxon_holm` can give: that of one treatment ahead in all blocks.

    Args:
        num_blocks: N.
        num_treatments: K.
    """
    return min(1.0, math.comb(num_treatments, 2) * 2.0 ** (1 - num_blocks))


def cliques(differs: NDArray[np.bool_], order: Sequence[int]) -> list[list[int]]:
    """Return the longest groups of neighbours in a ranking of which no two differ.

    Args:
        differs: (K, K), which pairs differ.
        order: treatments from the best to the worst.

    Returns:
        Groups of at least two treatments, in the given order; a group is not part of another one.
    """
    table = differs[np.ix_(order, order)]
    groups: list[tuple[int, int]] = []
    for first in range(len(order)):
        last = first
        while last + 1 < len(order) and not table[first : last + 2, first : last + 2].any():
            last += 1
        if last > first and (not groups or last > groups[-1][1]):
            groups.append((first, last))
    return [[order[i] for i in range(first, last + 1)] for first, last in groups]


def _signed_rank(differences: NDArray[np.floating]) -> float:
    if not np.any(differences):
        return 1.0
    return float(stats.wilcoxon(differences, zero_method="zsplit").pvalue)
