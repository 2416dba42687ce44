"""The critical-difference diagram (Demšar 2006): mean ranks, and the groups that do not differ."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from msal_lightning.analysis.figures.style import check_out, save
from msal_lightning.analysis.report.blocks import read_blocks
from msal_lightning.analysis.report.ranking import rank_blocks
from msal_lightning.analysis.report.ranking_tables import ranking_sentence
from msal_lightning.analysis.stats.ranks import (
    LEVEL,
    cliques,
    critical_difference,
    differs_by_nemenyi,
    mean_ranks,
    smallest_p,
    wilcoxon_holm,
)
from msal_lightning.analysis.stats.standings import score_rows
from msal_lightning.io.rounding import fixed
from msal_lightning.io.terminal import say

_NEMENYI, _WILCOXON = "#444444", "#d55e00"
_TICKS = 13  # at most
_STEP = 0.22  # inches from a line to the next one


def draw_ranks(runs: Sequence[str], out: str) -> None:
    """Draw the diagram of runs on one or several datasets, and print Friedman's test.

    Ranks are taken over blocks, whose runs differ in strategy and seed only; over the seeds if there is one block.

    Args:
        runs: run directories, or folders of run directories.
        out: file of the picture.

    Raises:
        UserError: no two strategies can be compared, or the picture cannot be written.
    """
    check_out(out)
    blocks = read_blocks([Path(run) for run in runs])
    ranking = rank_blocks(blocks)
    save(rank_diagram(blocks.strategies, score_rows(blocks.values), ranking.over), out)
    for note in ranking.notes:
        say(f"({note})")
    say(f"{ranking_sentence(ranking)} Drawn in {out}")


def rank_diagram(names: Sequence[str], scores: NDArray[np.float64], over: str) -> Figure:
    """Draw mean ranks on an axis, rank 1 on the left, and bars that join strategies that do not differ.

    Args:
        names: K strategies.
        scores: (N, K), higher is better.
        over: what the N rows are, for the label of the axis.
    """
    rank = mean_ranks(scores)
    order = np.argsort(rank, kind="stable").tolist()
    bars = [(_NEMENYI, cliques(differs_by_nemenyi(scores), order))]
    p = wilcoxon_holm(scores)
    if not np.isnan(p).any() and smallest_p(*scores.shape) < LEVEL:  # otherwise one bar would join all
        bars.append((_WILCOXON, cliques(p < LEVEL, order)))
    num_bars = sum(len(groups) for _, groups in bars)
    half = -(-len(names) // 2)
    height = _STEP * (num_bars + half + 2)
    figure, axes = plt.subplots(figsize=(7.2, height + 1.1), layout="constrained")
    axes.set(xlim=(1, len(names)), ylim=(height, 0), yticks=[])
    axes.spines[["left", "right", "bottom"]].set_visible(False)
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.set_xticks(range(1, len(names) + 1, -(-len(names) // _TICKS)))
    axes.set_xlabel(f"mean rank by AUBC over {over} (1 is best)")
    level = _draw_bars(axes, bars, rank)
    _draw_names(axes, [names[k] for k in order], rank[order], level)
    _draw_legend(figure, axes, critical_difference(len(names), len(scores)), len(bars) > 1)
    return figure


def _draw_bars(axes: Axes, bars: list[tuple[str, list[list[int]]]], rank: NDArray[np.float64]) -> float:
    """Draw the groups below the axis; returns the height of the first name."""
    level = _STEP
    for colour, groups in bars:
        for group in groups:
            ends = rank[group[0]] - 0.04, rank[group[-1]] + 0.04
            axes.plot(ends, (level, level), color=colour, linewidth=3.5, solid_capstyle="butt", clip_on=False)
            level += _STEP
    return level + _STEP / 2


def _draw_names(axes: Axes, names: list[str], rank: NDArray[np.float64], level: float) -> None:
    """Draw a line from each rank to its name: the better half on the left, the other half on the right."""
    half = -(-len(names) // 2)
    for k, (name, at) in enumerate(zip(names, rank.tolist(), strict=True)):
        is_left = k < half
        edge, row = (1.0, k) if is_left else (float(len(names)), len(names) - 1 - k)
        depth = level + row * _STEP
        axes.plot((at, at, edge), (0, depth, depth), color="0.35", linewidth=0.8, clip_on=False)
        axes.annotate(
            f"{name}  {fixed(at, 2)}" if is_left else f"{fixed(at, 2)}  {name}",
            (edge, depth),
            xytext=(-4 if is_left else 4, 0),
            textcoords="offset points",
            ha="right" if is_left else "left",
            va="center",
            fontsize="small",
            annotation_clip=False,
        )


def _draw_legend(figure: Figure, axes: Axes, distance: float, has_wilcoxon: bool) -> None:
    lines = [Line2D([], [], color=_NEMENYI, linewidth=3.5)]
    texts = [f"no difference by Nemenyi (critical difference {fixed(distance, 2)})"]
    if has_wilcoxon:
        lines.append(Line2D([], [], color=_WILCOXON, linewidth=3.5))
        texts.append("no difference by Wilcoxon–Holm")
    figure.legend(lines, texts, loc="outside lower center", ncols=len(lines), frameon=False, fontsize="small")
