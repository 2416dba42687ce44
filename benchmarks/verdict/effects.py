"""The scores of the verdict's runs, and the effect of one choice with everything else equal."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.verdict.table import Line
from msal_lightning.analysis.stats.bootstrap import mean_difference, pooled_std
from msal_lightning.analysis.stats.estimates import Estimate
from msal_lightning.analysis.stats.savings import saved_with_interval
from msal_lightning.models.metrics import area_under_budget_curve
from msal_lightning.sweep.verdict import Cell

Scores = Mapping[Cell, Mapping[int, float]]
"""AUBC of each cell by seed."""


def scores(lines: Sequence[Line]) -> dict[Cell, dict[int, float]]:
    """Return the AUBC of all runs."""
    found: dict[Cell, dict[int, float]] = {}
    for line in lines:
        found.setdefault(line.run.cell, {})[line.run.seed] = area_under_budget_curve([*line.labels], line.accuracy)
    return found


def curves_of(lines: Sequence[Line]) -> dict[Cell, dict[int, Line]]:
    """Return the runs of each cell by seed."""
    found: dict[Cell, dict[int, Line]] = {}
    for line in lines:
        found.setdefault(line.run.cell, {})[line.run.seed] = line
    return found


@dataclass(frozen=True)
class Pair:
    """Two cells that differ in one choice.

    Attributes:
        first: the cell with the choice.
        second: the cell without it.
    """

    first: Cell
    second: Cell


def saved(curves: Mapping[Cell, Mapping[int, Line]], pair: Pair) -> Estimate | None:
    """Return how many labels a cell saves at the final accuracy of another, with an interval over shared seeds."""
    first, second = curves[pair.first], curves[pair.second]
    seeds = sorted({*first} & {*second})
    ours, theirs = (np.array([cell[seed].accuracy for seed in seeds]) for cell in (first, second))
    return saved_with_interval(ours, theirs, np.array(second[seeds[0]].labels))


def values_of(found: Scores, cells: Sequence[Cell]) -> NDArray[np.float64]:
    """Return the values of cells at the seeds that all have: (S, K)."""
    seeds = sorted(set.intersection(*({*found.get(cell, {})} for cell in cells)))
    return np.array([[found[cell][seed] for cell in cells] for seed in seeds]).reshape(len(seeds), len(cells))


def differences(found: Scores, pairs: Sequence[Pair]) -> NDArray[np.float64]:
    """Return the difference of AUBC, mean over pairs, at each seed that all cells have: (S,)."""
    values = values_of(found, [cell for pair in pairs for cell in (pair.first, pair.second)])
    apart: NDArray[np.float64] = (values[:, ::2] - values[:, 1::2]).mean(axis=1)
    return apart


@dataclass(frozen=True)
class Effect:
    """What a choice changes.

    Attributes:
        name: the choice.
        estimate: mean difference of AUBC with its interval; blocks count the same.
        positive: number of blocks whose mean is above 0.
        num_blocks: number of blocks: a feature set and a budget each.
        num_runs: number of pairs of runs.
        std: standard deviation over seeds of a difference within a block.
    """

    name: str
    estimate: Estimate
    positive: int
    num_blocks: int
    num_runs: int
    std: float


def effect(name: str, found: Scores, pairs: Mapping[tuple[str, str], Sequence[Pair]]) -> Effect | None:
    """Return the effect of a choice, paired by seed; within a block the pairs of a seed are averaged.

    Args:
        name: the choice.
        found: see :func:`scores`.
        pairs: by block, the pairs of cells that differ in the choice only.

    Returns:
        The effect, over the blocks with two seeds; None if there are none.
    """
    every = [differences(found, of_block) for of_block in pairs.values()]
    blocks = [block for block in every if len(block) > 1]
    if not blocks:
        return None
    return Effect(
        name,
        mean_difference(blocks),
        sum(bool(block.mean() > 0) for block in blocks),
        len(blocks),
        sum(map(len, blocks)),
        pooled_std(blocks),
    )
