"""The figures of docs/verdict.md."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from benchmarks.verdict.choices import (
    BLOCKS,
    DIVERSITY,
    HEADS,
    UNCERTAINTY,
    compared,
    pairs_of_heads,
    pairs_of_rows,
    strategies_of,
)
from benchmarks.verdict.effects import Effect, Scores, effect
from benchmarks.verdict.table import Line
from msal_lightning.analysis.figures.ranks import rank_diagram
from msal_lightning.analysis.stats.standings import score_rows
from msal_lightning.sweep.verdict import SMALL, Cell

CURVES: dict[str, tuple[str, Any]] = {
    "Margin": ("#0072b2", "-"),
    "MSAL": ("#56b4e9", (0, (4, 1))),
    "MSAL-D": ("#d55e00", "-"),
    "MaxHerding": ("#999999", (0, (4, 1))),
    "UHerding": ("#009e73", "-"),
    "UHerding(MSAL)": ("#cc79a7", (0, (1, 1))),
}
"""Strategies in the figure of curves, all on the prototype head, with colour and dashes."""
_BUDGET_COLOURS = {"low": "#0072b2", "high": "#d55e00"}
_TITLES = {
    "clipart": "clip art", "stamps": "stamps", "digits": "digits", "mnist": "MNIST", "fashion_mnist": "Fashion-MNIST",
}  # fmt: skip


def draw_all(lines: Sequence[Line], found: Scores, folder: Path) -> None:
    """Draw all figures into a folder."""
    for head in HEADS:
        blocks = compared(found, strategies_of(head), head, BLOCKS)
        over = f"{len(blocks.values)} blocks, {head} head"
        figure = rank_diagram(blocks.strategies, score_rows(blocks.values), over)
        figure.savefig(folder / f"verdict-ranks-{head}.png", dpi=150)
        plt.close(figure)
    draw_effects(found, folder / "verdict-effects.png")
    draw_curves(lines, folder / "verdict-curves.png")


def draw_effects(found: Scores, file: Path) -> None:
    """Draw the effect of each choice with its interval, at both budgets."""
    groups: dict[str, dict[str, dict[str, Effect | None]]] = {"head": {}, "uncertainty": {}, "diversity": {}}
    for budget in ("low", "high"):
        blocks = [block for block in BLOCKS if block[1] == budget]
        groups["head"].setdefault("prototype head instead of linear", {})[budget] = effect(
            "head", found, pairs_of_heads(blocks)
        )
        for kind, rows_of in (("uncertainty", UNCERTAINTY), ("diversity", DIVERSITY)):
            for name, (rows, heads) in rows_of.items():
                groups[kind].setdefault(name, {})[budget] = effect(name, found, pairs_of_rows(rows, heads, blocks))
    sizes = [len(group) for group in groups.values()]
    figure, all_axes = plt.subplots(
        len(groups), 1, figsize=(7.2, 0.3 * sum(sizes) + 1.8), sharex=True, layout="constrained",
        height_ratios=[size + 0.8 for size in sizes],
    )  # fmt: skip
    for axes, (kind, group) in zip(all_axes, groups.items(), strict=True):
        _draw_group(axes, kind, group)
    all_axes[-1].set_xlabel("difference of AUBC, with the interval over seeds (95 %)")
    handles = [plt.Line2D([], [], color=colour, marker="o", linewidth=2) for colour in _BUDGET_COLOURS.values()]
    figure.legend(
        handles, [f"{name} budget" for name in _BUDGET_COLOURS], loc="outside upper right", ncols=2, frameon=False
    )
    figure.savefig(file, dpi=150)
    plt.close(figure)


def _draw_group(axes: Axes, kind: str, group: dict[str, dict[str, Effect | None]]) -> None:
    axes.axvline(0, color="0.6", linewidth=0.8)
    for k, by_budget in enumerate(group.values()):
        for shift, (budget, one) in zip((-0.15, 0.15), by_budget.items(), strict=True):
            if one is not None:
                value = one.estimate
                axes.plot((value.low, value.high), (k + shift,) * 2, color=_BUDGET_COLOURS[budget], linewidth=2)
                axes.plot(value.value, k + shift, "o", color=_BUDGET_COLOURS[budget], markersize=4)
    axes.set_yticks(range(len(group)), [*group])
    axes.set_ylim(len(group) - 0.5, -0.5)
    axes.set_title(kind, loc="left", fontsize="medium", fontweight="bold")
    axes.tick_params(axis="y", length=0, labelsize="small")
    axes.spines[["top", "right", "left"]].set_visible(False)


def draw_curves(lines: Sequence[Line], file: Path) -> None:
    """Draw accuracy minus that of Random by number of labels, mean over seeds, for each feature set and budget."""
    figure, grid = plt.subplots(2, len(SMALL), figsize=(12, 5.4), layout="constrained", sharey="row")
    for row, budget in zip(grid, ("low", "high"), strict=True):
        for axes, name in zip(row, SMALL, strict=True):
            if (name, budget) not in BLOCKS:
                axes.set_axis_off()
                continue
            _draw_differences(axes, lines, name, budget)
            axes.set_title(f"{_TITLES[name]}, {budget}", fontsize="medium")
    grid[0, 0].set_ylabel("accuracy minus Random")
    grid[1, 0].set_ylabel("accuracy minus Random")
    figure.supxlabel("labels", fontsize="medium")
    handles = [plt.Line2D([], [], color=colour, linestyle=dashes) for colour, dashes in CURVES.values()]
    figure.legend(handles, [*CURVES], loc="outside upper center", ncols=len(CURVES), frameon=False)
    figure.savefig(file, dpi=130)
    plt.close(figure)


def _draw_differences(axes: Axes, lines: Sequence[Line], name: str, budget: str) -> None:
    random = _accuracies(lines, (name, budget, "prototype", "Random", "Random"))
    axes.axhline(0, color="0.6", linewidth=0.8)
    for row, (colour, dashes) in CURVES.items():
        own = _accuracies(lines, (name, budget, "prototype", row, "Random"))
        seeds = sorted({*own} & {*random})
        if not seeds:
            continue
        apart = np.array([own[seed][1] - random[seed][1] for seed in seeds])
        labels, mean = own[seeds[0]][0], apart.mean(axis=0)
        error = apart.std(axis=0, ddof=1) / np.sqrt(len(seeds)) if len(seeds) > 1 else np.zeros_like(mean)
        axes.plot(labels, mean, color=colour, linestyle=dashes, linewidth=1.6)
        axes.fill_between(labels, mean - error, mean + error, color=colour, alpha=0.2, linewidth=0)
    axes.spines[["top", "right"]].set_visible(False)


def _accuracies(lines: Sequence[Line], cell: Cell) -> dict[int, tuple[NDArray[np.int64], NDArray[np.float64]]]:
    return {line.run.seed: (np.array(line.labels), np.array(line.accuracy)) for line in lines if line.run.cell == cell}
