"""Strategies in their order, with tests over seeds or over blocks of runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from msal_lightning.analysis.report.blocks import Blocks
from msal_lightning.analysis.report.result import Report
from msal_lightning.analysis.stats.estimates import Estimate
from msal_lightning.analysis.stats.ranks import Friedman, critical_difference, friedman, smallest_p, wilcoxon_holm
from msal_lightning.analysis.stats.savings import saved_with_interval
from msal_lightning.analysis.stats.standings import Standing, score_rows, standings

Curves = Mapping[int, Mapping[int, float]]  # seed to number of labels to accuracy


@dataclass(frozen=True)
class Ranking:
    """Strategies from the best mean rank to the worst.

    Attributes:
        over: what the ranks are taken over, with its number: ``50 seeds`` or ``8 blocks``.
        standings: one of each strategy, best first.
        baseline: name of the strategy that the others are compared with; None without it.
        friedman: test of equal ranks; None if it is not possible.
        critical_difference: of mean ranks, by Nemenyi.
        against: p of Wilcoxon's test against the baseline by name, Holm-corrected for all pairs; NaN if not possible.
        smallest_p: the smallest p that this test can give, with so few blocks and so many pairs.
        saved: labels saved at the baseline's final accuracy by name; empty over several blocks.
        notes: sentences about what was left out.
    """

    over: str
    standings: list[Standing]
    baseline: str | None
    friedman: Friedman | None
    critical_difference: float
    against: dict[str, float]
    smallest_p: float
    saved: dict[str, Estimate | None] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def rank_seeds(report: Report) -> Ranking | None:
    """Rank the methods of a report over the seeds that all have; None for fewer than two methods or seeds."""
    rows, seeds = report.contenders, report.shared_seeds
    if len(rows) < 2 or len(seeds) < 2 or not all(row.summary.aubc for row in rows):
        return None
    names = [row.name for row in rows]
    values = np.array([[row.summary.aubc[seed] for row in rows] for seed in seeds])
    saved = {}
    if report.baseline is not None:
        curves = {row.name: row.summary.curves for row in rows}
        saved = {name: _saved(curves[name], curves[report.baseline], seeds) for name in names}
    return _ranking(f"{len(seeds)} seeds", names, [values], report.baseline, saved, [])


def rank_blocks(blocks: Blocks) -> Ranking:
    """Rank the strategies of several blocks, or over the seeds of a single one."""
    count = len(blocks.values)
    over = f"{count} blocks" if count > 1 else f"{len(blocks.values[0])} seeds"
    baseline = "Random" if "Random" in blocks.strategies else None
    return _ranking(over, blocks.strategies, blocks.values, baseline, {}, blocks.notes)


def _ranking(
    over: str,
    names: Sequence[str],
    values: Sequence[NDArray[np.float64]],
    baseline: str | None,
    saved: dict[str, Estimate | None],
    notes: list[str],
) -> Ranking:
    rows = score_rows(values)
    p = wilcoxon_holm(rows)
    against = {} if baseline is None else dict(zip(names, p[list(names).index(baseline)].tolist(), strict=True))
    return Ranking(
        over=over,
        standings=standings(names, values, baseline),
        baseline=baseline,
        friedman=friedman(rows),
        critical_difference=critical_difference(len(names), len(rows)),
        against=against,
        smallest_p=smallest_p(len(rows), len(names)),
        saved=saved,
        notes=notes,
    )


def _saved(method: Curves, baseline: Curves, seeds: Sequence[int]) -> Estimate | None:
    labels = sorted(set.intersection(*(set(curves[seed]) for curves in (method, baseline) for seed in seeds)))
    if not labels:
        return None
    ours, theirs = (np.array([[c[s][at] for at in labels] for s in seeds]) for c in (method, baseline))
    return saved_with_interval(ours, theirs, np.array(labels))
