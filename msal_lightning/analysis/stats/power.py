"""How many seeds a difference needs to be found."""

import math

from scipy import stats

DIFFERENCE = 0.005
"""A difference in AUBC that matters in practice."""
_MOST = 10**6


def power(num_seeds: int, effect: float, level: float = 0.05) -> float:
    """Return the probability that a two-sided paired t-test finds a difference.

    Args:
        num_seeds: n, at least 2.
        effect: the difference, in standard deviations of the paired differences.
        level: largest p of a significant difference.
    """
    critical = stats.t.ppf(1 - level / 2, num_seeds - 1)
    shift = abs(effect) * math.sqrt(num_seeds)
    tails = stats.nct.sf(critical, num_seeds - 1, shift), stats.nct.cdf(-critical, num_seeds - 1, shift)
    return float(sum(0.0 if math.isnan(tail) else tail for tail in tails))


def seeds_needed(std: float, difference: float = DIFFERENCE, wanted: float = 0.8, level: float = 0.05) -> int | None:
    """Return the smallest number of seeds at which a paired t-test finds a difference with the wanted probability.

    Args:
        std: standard deviation of the paired differences, over seeds.
        difference: the true difference, not 0.
        wanted: the probability.
        level: largest p of a significant difference.

    Returns:
        The number, at least 2; None above a million.
    """
    if std <= 0:
        return 2
    effect, low, high = difference / std, 1, 2
    while power(high, effect, level) < wanted:
        low, high = high, 2 * high
        if high > _MOST:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power(middle, effect, level) >= wanted else (middle, high)
    return high
