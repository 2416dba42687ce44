"""The curves of docs/reproduction.md."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from benchmarks.reproduction.table import Line
from msal_lightning.analysis.figures.style import line_settings

_FIRST = 10  # rounds of Fig. 3


def draw_curves(found: Mapping[str, Sequence[Line]], file: Path) -> None:
    """Draw the paper's Fig. 1 and Fig. 3 for MNIST: every run, and the mean.

    Args:
        found: whole runs by row.
        file: the picture.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), width_ratios=(3, 2), layout="constrained")
    for row, lines in found.items():
        style = line_settings(row) | {"marker": ""}
        for line in lines:
            left.plot(line.labels, line.accuracy, **style, linewidth=0.6, alpha=0.35)
        if lines:
            mean = np.mean([line.accuracy for line in lines], 0)
            left.plot(lines[0].labels, mean, **style, linewidth=1.8, label=f"{row} ({len(lines)} runs)")
            if not np.isnan(error := np.mean([line.pool_error[:_FIRST] for line in lines], 0)).any():
                right.plot(lines[0].labels[:_FIRST], 100 * error, **line_settings(row), markersize=4, label=row)
    left.axvline(5_250, color="#888888", linewidth=0.8, linestyle=":")
    left.annotate(
        "5,250 labels:\nlast batch of 2 images", (5_250, 0.905), (5_550, 0.905), fontsize="small", color="#555555"
    )
    left.set(title="MNIST, accuracy on the test set", xlabel="labels", ylabel="accuracy", ylim=(0.9, 1.0))
    right.set(title="MNIST, unlabeled images", xlabel="labels", ylabel="misclassified, %", ylim=(0, None))
    for axes in (left, right):
        axes.grid(alpha=0.3, linewidth=0.5)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize="small", handlelength=3)
    figure.savefig(file, dpi=150)
    plt.close(figure)
