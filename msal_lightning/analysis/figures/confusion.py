"""The confusion matrix of a round."""

import textwrap
from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from msal_lightning.analysis.figures.style import check_out, save
from msal_lightning.errors import RunError
from msal_lightning.io.terminal import say
from msal_lightning.io.wording import counted
from msal_lightning.paper.methods import method_name
from msal_lightning.runs.classes import class_rows, missing_classes
from msal_lightning.runs.reading import Run, read_run

_MOST_COUNTS = 150  # classes; with more, counts would be unreadable
_LONGEST_NAME = 24  # letters
_SMALLEST = 4.5  # points of a name


def draw_confusion(runs: Sequence[str], out: str, round: int | None) -> None:
    """Draw the confusion matrix of a round.

    Args:
        runs: one run directory.
        out: file of the picture.
        round: number of the round; None for the last finished one.

    Raises:
        RunError: there are several runs, the round is missing or has no confusion matrix, or the picture cannot be
            written.
    """
    check_out(out)
    if len(runs) != 1:
        raise RunError(f"expected one run directory for the confusion matrix, got {len(runs)}: name one of them")
    run = read_run(Path(runs[0]))
    if not run.records:
        raise RunError(f"expected a run with finished rounds, found none in '{run.folder}': run `fit` first")
    k = len(run.records) - 1 if round is None else round
    if not 0 <= k < len(run.records):
        raise RunError(f"expected --round to be 0 to {len(run.records) - 1} in '{run.folder}', got {k}")
    results = run.records[k].test_classes
    matrix = results.matrix() if results else None
    if matrix is None:
        why = "it has too many classes" if results else "it was made before records had one"
        raise RunError(
            f"expected a confusion matrix in the record of round {k} in '{run.folder}', found none: {why}; draw a run "
            "that has one"
        )
    save(confusion_matrix(np.array(matrix), _names(run, k), _title(run, k)), out)
    say(f"round {k} of {run.folder} drawn in {out}")


def confusion_matrix(matrix: NDArray[np.int64], names: Sequence[str], title: str) -> Figure:
    """Draw counts, coloured by their share of the row's images; a class without test images is a grey row.

    Args:
        matrix: (C, C), true classes as rows.
        names: C class names.
        title: title of the figure.
    """
    size = len(matrix)
    cell = 0.55 if size <= 12 else 0.36 if size <= 30 else 0.23 if size <= _MOST_COUNTS else 34 / size  # inches
    side = max(2.4, cell * size)
    heading = min(22.0, max(9.0, 0.9 * side))  # points
    points = min(9.0, 72 * cell * 0.62)
    totals = matrix.sum(axis=1)
    names = [_cut(name) for name in names]
    longest = max(map(len, names)) * 0.6 * max(_SMALLEST, points) / 72  # inches
    turned = longest > 0.9 * side / size  # beside each other they would overlap
    width, height = side + longest + 3.2, side + (longest if turned else 0.2) + 1.2
    figure, axes = plt.subplots(figsize=(width, height), layout="constrained")
    share = np.where(totals[:, None] > 0, matrix / np.maximum(totals, 1)[:, None], np.nan)
    colours = plt.get_cmap("Blues").with_extremes(bad="0.85")
    image = axes.imshow(share, cmap=colours, vmin=0, vmax=1)
    _label(axes, names, totals, points, turned)
    if size <= _MOST_COUNTS:
        for true, predicted in zip(*np.nonzero(matrix), strict=True):
            count = int(matrix[true, predicted])
            axes.text(
                predicted, true, f"{count:,}", ha="center", va="center",
                fontsize=min(points, 72 * cell * 1.4 / max(2, len(f"{count:,}"))),
                color="white" if share[true, predicted] > 0.55 else "0.1",
            )  # fmt: skip
    bar = figure.colorbar(image, ax=axes, shrink=min(0.9, 3 / side), aspect=15, pad=0.02)
    bar.set_label("share of the row's images", fontsize="small")
    bar.ax.tick_params(labelsize="small")
    letters = int(width * 72 / heading * 1.7)  # that fit into the width
    figure.suptitle("\n".join(textwrap.fill(line, letters) for line in title.splitlines()), fontsize=heading)
    return figure


def _label(axes: Axes, names: Sequence[str], totals: NDArray[np.int64], points: float, turned: bool) -> None:
    every = max(1, round(4.5 / points))  # show only as many names as stay readable
    shown = range(0, len(names), every)
    points = max(_SMALLEST, points)
    rows = [f"{names[c]} ({totals[c]:,})" if totals[c] else f"{names[c]} (no test image)" for c in shown]
    axes.set_xticks(list(shown), [names[c] for c in shown], rotation=90 if turned else 0, fontsize=points)
    axes.set_yticks(list(shown), rows, fontsize=points)
    for tick, c in zip(axes.get_yticklabels(), shown, strict=True):
        tick.set_color("0" if totals[c] else "#b3261e")
    axes.set_xlabel("predicted class", fontsize=max(9.0, points))
    axes.set_ylabel("true class (test images)", fontsize=max(9.0, points))
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    if len(names) <= _MOST_COUNTS:
        axes.set_xticks(np.arange(-0.5, len(names)), minor=True)
        axes.set_yticks(np.arange(-0.5, len(names)), minor=True)
        axes.grid(which="minor", color="0.9", linewidth=0.4)
        axes.tick_params(which="minor", length=0)


def _names(run: Run, round: int) -> list[str]:
    return [row.name for row in class_rows(run.named_records, round)]


def _title(run: Run, round: int) -> str:
    record, missing = run.records[round], missing_classes(run.named_records, round)
    what = missing.scope or "accuracy"
    return (
        f"{method_name(run.config)} on {run.dataset}, seed {run.config.get('seed', 0)}\n"
        f"round {round}, {counted(record.num_labeled, 'label')}: {what} {record.accuracy:.4f}"
    )


def _cut(name: str) -> str:
    name = name.replace("$", r"\$")  # not mathematics
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"
