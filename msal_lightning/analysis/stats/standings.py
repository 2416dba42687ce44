"""All strategies against a baseline, and in their order, from plain arrays."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from msal_lightning.analysis.stats.bootstrap import mean_difference, pooled_std, standardized_difference
from msal_lightning.analysis.stats.estimates import Estimate
from msal_lightning.analysis.stats.power import seeds_needed
from msal_lightning.analysis.stats.ranks import mean_ranks
from msal_lightning.analysis.stats.significance import paired_t

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Standing:
    """A strategy among others.

    Attributes:
        name: name of the strategy.
        mean_rank: its rank, mean over the rows of :func:`score_rows`; 1 is best.
        wins: number of rows in which it is above the baseline.
        ties: number of rows in which both are equal.
        losses: number of rows in which it is below.
        difference: AUBC minus that of the baseline, with a bootstrap interval; None for the baseline itself.
        effect: the same in standard deviations of the paired differences over seeds.
        p: two-sided p of the paired t-test over the rows; None for fewer than two.
        seeds_needed: number of seeds at which a paired t-test finds a difference of 0.005 with a probability of 0.8,
            from the same standard deviation; None if that is unknown, or above a million.
    """

    name: str
    mean_rank: float
    wins: int
    ties: int
    losses: int
    difference: Estimate | None
    effect: Estimate | None
    p: float | None
    seeds_needed: int | None


def score_rows(values: Sequence[Floats]) -> Floats:
    """Return what the ranks are taken over: the means of blocks over seeds, or the seeds if there is one block.

    Args:
        values: for each block, a dataset for example, (S, K): AUBC by seed and strategy.

    Returns:
        (N, K).
    """
    return values[0] if len(values) == 1 else np.stack([block.mean(axis=0) for block in values])


def standings(names: Sequence[str], values: Sequence[Floats], baseline: str | None) -> list[Standing]:
    """Rank strategies, and compare each with a baseline, paired by block and seed.

    Args:
        names: K strategies.
        values: for each block (S, K), see :func:`score_rows`; the seeds of a block are those that all strategies have.
        baseline: one of the names; None without one.

    Returns:
        The strategies, best mean rank first.
    """
    rows = score_rows(values)
    rank = mean_ranks(rows)
    at = None if baseline is None else list(names).index(baseline)
    order = np.argsort(rank, kind="stable").tolist()
    return [_standing(names[k], float(rank[k]), k, at, rows, values) for k in order]


def _standing(name: str, rank: float, k: int, baseline: int | None, rows: Floats, values: Sequence[Floats]) -> Standing:
    if baseline is None or k == baseline:
        return Standing(name, rank, 0, 0, 0, None, None, None, None)
    apart = rows[:, k] - rows[:, baseline]
    differences = [block[:, k] - block[:, baseline] for block in values]
    spread = pooled_std(differences)
    return Standing(
        name=name,
        mean_rank=rank,
        wins=int((apart > 0).sum()),
        ties=int((apart == 0).sum()),
        losses=int((apart < 0).sum()),
        difference=mean_difference(differences),
        effect=standardized_difference(differences),
        p=paired_t(apart)[1],
        seeds_needed=None if np.isnan(spread) else seeds_needed(spread),
    )
