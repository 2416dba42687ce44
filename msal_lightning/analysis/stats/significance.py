"""Whether two methods differ by more than chance, judged on the seeds that they share."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

WILCOXON_FROM = 6
"""Fewest pairs for a Wilcoxon test: with five, the two-sided p cannot fall below 1/16."""


@dataclass(frozen=True)
class PairedTest:
    """Two methods compared seed by seed.

    Attributes:
        first: name of the first method.
        second: name of the second method.
        seeds: number of shared seeds.
        difference: mean of first minus second.
        t_p: p of the two-sided paired t-test; None for fewer than two seeds.
        holm_p: ``t_p`` corrected for all pairs that were tested.
        wilcoxon_p: p of the two-sided signed-rank test, not corrected; None for fewer than six seeds.
    """

    first: str
    second: str
    seeds: int
    difference: float
    t_p: float | None
    holm_p: float | None
    wilcoxon_p: float | None


def paired_tests(values: Mapping[str, Mapping[int, float]]) -> list[PairedTest]:
    """Test every pair of methods that share a seed.

    Args:
        values: AUBC for example, by method and seed.

    Returns:
        Tests, the smallest corrected p first; pairs without p come last.
    """
    pairs = []
    for first, second in itertools.combinations(values, 2):
        if shared := sorted(set(values[first]) & set(values[second])):
            pairs.append((first, second, np.array([values[first][s] - values[second][s] for s in shared])))
    raw = [paired_t(differences)[1] for _, _, differences in pairs]
    corrected = iter(holm([p for p in raw if p is not None]))
    tests = [
        PairedTest(
            first,
            second,
            len(differences),
            float(differences.mean()),
            p,
            None if p is None else next(corrected),
            _wilcoxon(differences),
        )
        for (first, second, differences), p in zip(pairs, raw, strict=True)
    ]
    return sorted(tests, key=lambda test: (2.0, 2.0) if test.t_p is None else (test.holm_p or 0.0, test.t_p))


def paired_t(differences: np.ndarray) -> tuple[float | None, float | None]:
    """Return the statistic t and the two-sided p of the paired t-test.

    Equal differences have no spread: if they are zero, t is 0 and p is 1; otherwise t is infinite and p is 0, the limit
    of the formula.

    Args:
        differences: (n,), one per seed.

    Returns:
        t and p; both None for n < 2.
    """
    if len(differences) < 2:
        return None, None
    mean = float(differences.mean())
    if np.ptp(differences) < 1e-12:  # rounding of equal differences
        return (0.0, 1.0) if abs(mean) < 1e-12 else (float(np.copysign(np.inf, mean)), 0.0)
    result = stats.ttest_1samp(differences, 0.0)
    return float(result.statistic), float(result.pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for their number, in the given order.

    The k-th smallest of m (from 0) is multiplied by m - k. A corrected value is never below that of a smaller p-value,
    and at most 1.

    [0] Holm, 1979, A Simple Sequentially Rejective Multiple Test Procedure, Scandinavian Journal of Statistics 6
    """
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    corrected, largest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[i]))
        corrected[i] = largest
    return corrected


def _wilcoxon(differences: np.ndarray) -> float | None:
    if len(differences) < WILCOXON_FROM:
        return None
    if not np.any(differences):
        return 1.0  # nothing to rank
    return float(stats.wilcoxon(differences).pvalue)
