"""The look of figures, and their files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from msal_lightning.analysis.method_style import COLOURS, DASHES, method_style
from msal_lightning.errors import ConfigError
from msal_lightning.io.picture_file import refuse_no_picture

_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "h", "p")
# Tol, 2021, Colour schemes, "muted": colour-blind people can tell these apart; its grey is the tenth
_CLASS_COLOURS = (
    *("#332288", "#88CCEE", "#44AA99", "#117733", "#999933", "#DDCC77", "#CC6677", "#882255", "#AA4499"),
    "#888888",
)
_ENDINGS = (".png", ".svg", ".pdf")
_LEGEND_ROWS = 8  # a longer legend stands beside the curves
_MARKS = 10  # approximate number of marks per curve


def line_settings(name: str) -> dict[str, Any]:
    """Return colour, dashes and marker of a method's curve as arguments of matplotlib."""
    style = method_style(name)
    dashes = tuple(length / 2 for length in DASHES[style.dash])  # in widths of the line, about two pixels each
    return {
        "color": COLOURS[style.colour],
        "marker": _MARKERS[(style.colour + len(COLOURS) * style.dash) % len(_MARKERS)],
        "linestyle": (0, dashes) if dashes else "-",
    }


def class_colours(num_classes: int) -> list[Any]:
    """Return a colour for each class; more than ten are hard to tell apart."""
    if num_classes <= len(_CLASS_COLOURS):
        return list(_CLASS_COLOURS[:num_classes])
    return [plt.get_cmap("turbo")(c / (num_classes - 1)) for c in range(num_classes)]


def draw_mean(axes: Axes, x: Sequence[float], values: Sequence[Sequence[float]], name: str, label: str) -> None:
    """Draw a curve: the mean over seeds, in a band from the lowest to the highest.

    Args:
        axes: axes of the curve.
        x: (n,) positions.
        values: (seeds, n) values.
        name: name of the method.
        label: text of the legend.
    """
    table = np.array(values)
    every = max(1, round(len(x) / _MARKS))
    (line,) = axes.plot(
        x,
        table.mean(0),
        **line_settings(name),
        markevery=every,
        markersize=4,
        linewidth=1.3,
        markeredgewidth=0,
        label=label,
    )
    if len(table) > 1:
        axes.fill_between(x, table.min(0), table.max(0), color=line.get_color(), alpha=0.15, linewidth=0)


def finish_curves(axes: Axes, corner: Literal["lower right", "upper right"]) -> None:
    """Add grid and legend.

    Args:
        axes: axes of the curves.
        corner: place of a short legend; a long legend stands beside the curves.
    """
    axes.grid(alpha=0.3, linewidth=0.5)
    axes.spines[["top", "right"]].set_visible(False)
    beside = len(axes.get_lines()) > _LEGEND_ROWS
    if beside:
        axes.figure.set_size_inches(9.4, 4.0)  # type: ignore[union-attr] # no sub-figures here
    axes.legend(
        loc="center left" if beside else corner,
        bbox_to_anchor=(1.0, 0.5) if beside else None,
        frameon=False,
        fontsize="small",
        handlelength=3,
    )


def check_out(out: str) -> None:
    """Refuse a picture that could not be written, before anything is computed for it.

    Raises:
        ConfigError: the ending is not png, svg or pdf, the folder does not exist, or the file is no picture.
    """
    if Path(out).suffix.lower() not in _ENDINGS:
        raise ConfigError(
            f"expected --out to end in {', '.join(_ENDINGS[:-1])} or {_ENDINGS[-1]}, got '{out}': the ending sets the "
            "format"
        )
    if not Path(out).parent.is_dir():
        raise ConfigError(f"expected --out '{out}' to be in a folder that exists: make '{Path(out).parent}' first")
    refuse_no_picture(out)


def save(figure: Figure, out: str) -> None:
    """Write a picture in the format of its ending, and close it. Text stays text, and the file has no date.

    Raises:
        ConfigError: the file cannot be written.
    """
    check_out(out)
    undated = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(Path(out).suffix.lower())
    # 42: TrueType, which editors can change and publishers accept
    settings: dict[Any, Any] = {"svg.fonttype": "none", "svg.hashsalt": "msal_lightning", "pdf.fonttype": 42}
    try:
        with plt.rc_context(settings):
            figure.savefig(out, dpi=200, metadata=undated)
    except OSError as error:
        raise ConfigError(f"cannot write the picture '{out}' ({error}): set --out to a file like curves.png") from None
    finally:
        plt.close(figure)
