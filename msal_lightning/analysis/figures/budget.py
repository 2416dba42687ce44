"""Budget curves (Figs. 1 and 4 of the paper)."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from msal_lightning.analysis.figures.groups import dataset_of, read_groups
from msal_lightning.analysis.figures.style import check_out, draw_mean, finish_curves, line_settings, save
from msal_lightning.io.rounding import fixed
from msal_lightning.io.terminal import say
from msal_lightning.io.wording import counted
from msal_lightning.runs.classes import say_segment
from msal_lightning.runs.reading import Run
from msal_lightning.runs.records import RoundRecord, aubc

_IN_ONE = 6  # most curves that can be told apart in one picture
_COLUMNS = 4  # of panels


def plot(runs: Sequence[str], out: str = "budget_curves.png") -> None:
    """Draw budget curves: test accuracy over the number of labels.

    Runs that differ in seed only become one line: their mean, in a band from the lowest to the highest.

    Args:
        runs: run directories, or folders of run directories.
        out: file of the picture; its ending sets the format (png, svg, pdf).

    Raises:
        UserError: the runs cannot be read, or the picture cannot be written.
    """
    check_out(out)
    found = read_groups([Path(run) for run in runs])
    groups = _records(found)
    save(budget_curves(groups, dataset_of(found)), out)
    changed = [name for name, of_group in groups.items() if say_segment(of_group[0])]
    say(f"{counted(sum(map(len, groups.values())), 'run')} drawn in {out}")
    if changed:
        say(f"classes of {', '.join(changed)} were merged or split: AUBC is of the present ones, dots are of others")


def collect(paths: Sequence[Path]) -> dict[str, list[list[RoundRecord]]]:
    """Read the finished rounds of all runs, and group runs that differ in seed only.

    Args:
        paths: run directories, or folders of run directories.

    Raises:
        UserError: a folder has no runs, or the runs are on different datasets.
    """
    return _records(read_groups(paths))


def _records(groups: Mapping[str, Sequence[Run]]) -> dict[str, list[list[RoundRecord]]]:
    return {name: [run.records for run in runs] for name, runs in groups.items()}


def budget_curves(groups: Mapping[str, list[list[RoundRecord]]], title: str = "") -> Figure:
    """Draw one line per group: mean accuracy over its seeds, in a band from the lowest to the highest.

    More than six lines cannot be told apart in one picture, so each gets a panel of its own, with all others in grey.

    Args:
        groups: name to runs; the runs of a group may have different numbers of rounds.
        title: name of the dataset.
    """
    curves = sorted((Curve.of(name, runs) for name, runs in groups.items()), key=lambda curve: -curve.area)
    if len(curves) > _IN_ONE:
        return _panels(curves, title)
    figure, axes = plt.subplots(figsize=(6.4, 4.0), layout="constrained")
    for curve in curves:
        _draw_earlier(axes, curve)
        draw_mean(axes, curve.labels, curve.accuracies, curve.name, curve.legend)
    axes.set(xlabel="labels", ylabel="test accuracy", title=title)
    finish_curves(axes, "lower right")
    return figure


@dataclass(frozen=True)
class Segment:
    """Rounds with the same classes.

    Attributes:
        labels: (n,) number of labels in each round.
        accuracies: (seeds, n) accuracy of each round.
        classes: number of classes; 0 if the records have no names.
    """

    labels: list[int]
    accuracies: list[list[float]]
    classes: int


@dataclass(frozen=True)
class Curve:
    """The rounds that all runs of one method have.

    Attributes:
        name: name of the method.
        segments: one for each set of classes; the last one has the present classes.
        area: AUBC of the last segment, mean over seeds.
    """

    name: str
    segments: list[Segment]
    area: float

    @classmethod
    def of(cls, name: str, runs: list[list[RoundRecord]]) -> "Curve":
        """Cut the runs to their common number of rounds."""
        runs = [run[: min(map(len, runs))] for run in runs]
        starts = [0, *(record.round for record in runs[0] if record.starts_segment), len(runs[0])]
        segments = [
            Segment(
                [record.num_labeled for record in runs[0][a:b]],
                [[record.accuracy for record in run[a:b]] for run in runs],
                len(runs[0][a].class_names or []),
            )
            for a, b in pairwise(starts)
        ]
        return cls(name, segments, float(np.mean([aubc(run) for run in runs])))

    @property
    def labels(self) -> list[int]:
        """Number of labels in each round with the present classes, (n,)."""
        return self.segments[-1].labels

    @property
    def accuracies(self) -> list[list[float]]:
        """Accuracy of each round with the present classes, (seeds, n)."""
        return self.segments[-1].accuracies

    @property
    def legend(self) -> str:
        """Name, AUBC and number of seeds; the number of classes, if classes were merged or split."""
        classes = f" with {counted(self.segments[-1].classes, 'class')}" if len(self.segments) > 1 else ""
        area = "–" if math.isnan(self.area) else fixed(self.area, 3)
        return f"{self.name} (AUBC {area}{classes}, {seeds(len(self.accuracies))})"


def _draw_earlier(axes: Axes, curve: Curve) -> None:
    """Draw rounds with other classes thinner, in the colour of the curve, and mark where it starts anew."""
    colour = line_settings(curve.name)["color"]
    thin: dict[str, Any] = {"color": colour, "linewidth": 0.8, "linestyle": ":", "marker": ".", "markersize": 3}
    for segment in curve.segments[:-1]:
        classes = counted(segment.classes, "class")
        axes.plot(segment.labels, np.mean(segment.accuracies, axis=0), **thin, label=f"before, with {classes}")
        axes.axvline(curve.labels[0], color=colour, linewidth=0.6, alpha=0.5)


def _panels(curves: Sequence[Curve], title: str) -> Figure:
    """Draw a small panel for each curve, the best first, on the same axes."""
    columns = min(_COLUMNS, len(curves))
    rows = -(-len(curves) // columns)
    figure, grid = plt.subplots(
        rows,
        columns,
        figsize=(2.3 * columns, 1.9 * rows + 0.4),
        sharex=True,
        sharey=True,
        layout="constrained",
        squeeze=False,
    )
    panels = grid.flatten().tolist()
    for axes, curve in zip(panels, curves, strict=False):
        for other in curves:
            if other is not curve:
                axes.plot(other.labels, np.mean(other.accuracies, axis=0), color="0.82", linewidth=0.8, zorder=1)
        _draw_earlier(axes, curve)
        draw_mean(axes, curve.labels, curve.accuracies, curve.name, curve.name)
        axes.set_title(curve.name, fontsize="small", loc="left", fontweight="bold", wrap=True)
        axes.text(
            0.97, 0.05, f"AUBC {fixed(curve.area, 3)}\n{seeds(len(curve.accuracies))}", transform=axes.transAxes,
            ha="right", va="bottom", fontsize="x-small",
        )  # fmt: skip
        axes.grid(alpha=0.3, linewidth=0.5)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize="x-small")
    for axes in panels[len(curves) :]:
        axes.set_visible(False)
    for axes in panels[max(0, len(curves) - columns) : len(curves)]:
        axes.tick_params(labelbottom=True)
    figure.suptitle(title, fontsize="medium")
    figure.supxlabel("labels", fontsize="medium")
    figure.supylabel("test accuracy", fontsize="medium")
    return figure


def seeds(number: int) -> str:
    """Return ``1 seed`` or ``2 seeds``."""
    return f"{number} seed{'s' if number > 1 else ''}"
