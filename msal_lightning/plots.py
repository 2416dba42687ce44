"""Pictures of runs."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import rich
from matplotlib.figure import Figure

from msal_lightning.collection import Setting, read_runs
from msal_lightning.errors import UserError
from msal_lightning.methods import last_word
from msal_lightning.runs import RoundRecord, aubc

_LEGEND_ROWS = 8


def plot(runs: list[str], out: str = "budget_curves.png") -> None:
    """Draw budget curves: test accuracy over the number of labels.

    Runs that differ in seed only become one line, their mean, in a band from the lowest to the highest.

    Args:
        runs: run directories, or folders of them.
        out: the picture; its ending sets the format (png, svg, pdf).
    """
    groups = collect([Path(run) for run in runs])
    figure = budget_curves(groups)
    try:
        figure.savefig(out, dpi=200)
    except (OSError, ValueError) as error:
        raise UserError(f"cannot write the picture '{out}' ({error}): set --out to a file like curves.png") from None
    plt.close(figure)
    rich.print(f"{sum(map(len, groups.values()))} runs drawn in {out}")


def collect(paths: Sequence[Path]) -> dict[str, list[list[RoundRecord]]]:
    """The finished rounds of all runs in some folders, grouped by what made them: runs of a group differ in seed only.

    Args:
        paths: run directories, or folders of them.

    Raises:
        UserError: a folder has no runs, or the runs are on different datasets.
    """
    methods: dict[Setting, list[list[RoundRecord]]] = defaultdict(list)
    for run in read_runs(paths):
        if run.records:
            methods[run.setting].append(run.records)
    return _named(methods)


def _named(
    methods: Mapping[Setting, list[list[RoundRecord]]],
) -> dict[str, list[list[RoundRecord]]]:
    """Name each method by query and head, and by the keys in which it differs from others of that name."""
    names = {key: _name(dict(key)) for key in methods}
    named = {}
    for key, runs in methods.items():
        others = [dict(other) for other in methods if names[other] == names[key]]
        differing = [f"{k}={v}" for k, v in key if any(other.get(k) != v for other in others)]
        named[", ".join([names[key], *differing])] = runs
    return named


def budget_curves(groups: Mapping[str, list[list[RoundRecord]]]) -> Figure:
    """One line per group: mean accuracy over its seeds, in a band from the lowest to the highest.

    Args:
        groups: name to runs; the runs of a group need not have come equally far.
    """
    figure, axes = plt.subplots(figsize=(6.4, 4.0), layout="constrained")
    ranked = sorted(groups.items(), key=lambda item: -float(np.mean([aubc(run) for run in item[1]])))
    for name, runs in ranked:
        rounds = min(map(len, runs))
        labels = [record.num_labeled for record in runs[0][:rounds]]
        accuracy = np.array([[record.accuracy for record in run[:rounds]] for run in runs])  # (seeds, rounds)
        area = np.mean([aubc(run[:rounds]) for run in runs])
        seeds = f"{len(runs)} seeds" if len(runs) > 1 else "1 seed"
        (line,) = axes.plot(
            labels, accuracy.mean(0), marker="o", markersize=3, label=f"{name} (AUBC {area:.3f}, {seeds})"
        )
        axes.fill_between(labels, accuracy.min(0), accuracy.max(0), color=line.get_color(), alpha=0.15, linewidth=0)
    axes.set(xlabel="labels", ylabel="test accuracy")
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    if len(groups) <= _LEGEND_ROWS:
        axes.legend(loc="lower right", frameon=False, fontsize="small")
    else:
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, fontsize="small")
    return figure


def _name(config: Mapping[str, str]) -> str:
    query = last_word(config.get("query.class_path"))
    uncertainty = last_word(config.get("query.init_args.uncertainty.class_path"))
    query += f"({uncertainty})" if uncertainty not in ("", "MSAL") else ""
    return f"{query}, {config.get('model.head')} head"
