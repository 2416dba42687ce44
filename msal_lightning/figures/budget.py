"""Budget curves (Figs. 1 and 4 of the paper)."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from msal_lightning.figures.groups import read_groups
from msal_lightning.figures.style import check_out, draw_mean, finish_curves, line_styles, save
from msal_lightning.runs import RoundRecord, aubc

_READABLE = 12  # curves in a picture


def plot(runs: Sequence[str], out: str = "budget_curves.png") -> None:
    """Draw budget curves: test accuracy over the number of labels.

    Runs that differ in seed only become one line, their mean, in a band from the lowest to the highest.

    Args:
        runs: run directories, or folders of them.
        out: the picture; its ending sets the format (png, svg, pdf).

    Raises:
        UserError: the runs cannot be read, or the picture not be written.
    """
    check_out(out)
    groups = collect([Path(run) for run in runs])
    save(budget_curves(groups), out)
    print(f"{sum(map(len, groups.values()))} runs drawn in {out}")
    if len(groups) > _READABLE:
        print(f"({len(groups)} curves in one picture are hard to tell apart: name fewer runs)")


def collect(paths: Sequence[Path]) -> dict[str, list[list[RoundRecord]]]:
    """The finished rounds of all runs in some folders, grouped by what made them: runs of a group differ in seed only.

    Args:
        paths: run directories, or folders of them.

    Raises:
        UserError: a folder has no runs, or the runs are on different datasets.
    """
    return {name: [run.records for run in runs] for name, runs in read_groups(paths).items()}


def budget_curves(groups: Mapping[str, list[list[RoundRecord]]]) -> Figure:
    """One line per group: mean accuracy over its seeds, in a band from the lowest to the highest.

    Args:
        groups: name to runs; the runs of a group need not have come equally far.
    """
    figure, axes = plt.subplots(figsize=(6.4, 4.0), layout="constrained")
    styles = line_styles(list(groups))
    ranked = sorted(groups.items(), key=lambda item: -float(np.mean([aubc(run) for run in item[1]])))
    for name, runs in ranked:
        rounds = min(map(len, runs))
        area = np.mean([aubc(run[:rounds]) for run in runs])
        draw_mean(
            axes,
            [record.num_labeled for record in runs[0][:rounds]],
            [[record.accuracy for record in run[:rounds]] for run in runs],
            styles[name],
            f"{name} (AUBC {area:.3f}, {seeds(len(runs))})",
        )
    axes.set(xlabel="labels", ylabel="test accuracy")
    finish_curves(axes, "lower right")
    return figure


def seeds(number: int) -> str:
    """``1 seed``, ``2 seeds``."""
    return f"{number} seed{'s' if number > 1 else ''}"
