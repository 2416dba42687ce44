"""Bootstrap intervals of paired differences: seeds are drawn again, datasets stay."""

import math
from collections.abc import Callable, Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray

from msal_lightning.analysis.stats.estimates import LEVEL, Estimate

DRAWS = 2000
Floats = NDArray[np.float64]


def mean_difference(differences: Sequence[Floats], draws: int = DRAWS) -> Estimate:
    """Return the mean difference to a baseline with its interval.

    Blocks, datasets for example, count the same whatever their number of seeds. The interval covers other seeds on the
    same blocks; it says nothing of other datasets. From fewer than about ten seeds it comes out too narrow.

    Args:
        differences: for each block (S,), a strategy minus the baseline at the same seed.
        draws: number of draws.

    Returns:
        The estimate; NaN as ends if a block has fewer than two seeds.
    """
    return _with_interval(differences, lambda blocks: np.mean([block.mean(axis=1) for block in blocks], axis=0), draws)


def standardized_difference(differences: Sequence[Floats], draws: int = DRAWS) -> Estimate:
    """Return the mean difference divided by the standard deviation over seeds (Cohen's d of paired values).

    The variance is the mean over blocks of the variance within a block.

    Args:
        differences: for each block (S,), a strategy minus the baseline at the same seed.
        draws: number of draws.

    Returns:
        The estimate; NaN if a block has fewer than two seeds, or there is no spread.
    """
    if any(len(block) < 2 for block in differences):
        return Estimate(math.nan, math.nan, math.nan)
    return _with_interval(differences, _standardized, draws)


def interval(value: float, drawn: Floats) -> Estimate:
    """Return a value with the quantiles of drawn ones as ends of its interval.

    Args:
        value: the estimate.
        drawn: (B,), maybe infinite; NaN is left out.
    """
    drawn = np.sort(drawn[~np.isnan(drawn)])
    if not len(drawn):
        return Estimate(value, math.nan, math.nan)
    # without interpolation, because the difference of two infinite values is no number
    ends = (drawn[round(share * (len(drawn) - 1))] for share in ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    low, high = map(float, ends)
    return Estimate(value, low, high)


def redraws(num_seeds: int, draws: int = DRAWS, block: int = 0) -> NDArray[np.int64]:
    """Return rows of seeds drawn with replacement, the same each time: (draws, num_seeds).

    Args:
        num_seeds: S.
        draws: number of rows.
        block: number of the block; each has its own draws.
    """
    return np.random.default_rng([num_seeds, block]).integers(num_seeds, size=(draws, num_seeds))


def pooled_std(differences: Sequence[Floats]) -> float:
    """Return the root of the mean over blocks of the variance over seeds; NaN if a block has fewer than two seeds."""
    if any(len(block) < 2 for block in differences):
        return math.nan
    return math.sqrt(float(np.mean([block.var(ddof=1) for block in differences])))


def _with_interval(differences: Sequence[Floats], statistic: Callable[[list[Floats]], Floats], draws: int) -> Estimate:
    value = float(statistic([block[None] for block in differences])[0])
    if any(len(block) < 2 for block in differences):
        return Estimate(value, math.nan, math.nan)
    drawn = [block[redraws(len(block), draws, number)] for number, block in enumerate(differences)]
    return interval(value, statistic(drawn))


def _standardized(blocks: list[Floats]) -> Floats:
    """From (B, S) of each block to (B,)."""
    mean = np.mean([block.mean(axis=1) for block in blocks], axis=0)
    variance = np.mean([block.var(axis=1, ddof=1) for block in blocks], axis=0)
    without = np.full_like(mean, math.nan)
    return cast("Floats", np.divide(mean, np.sqrt(variance), out=without, where=variance > 0))
