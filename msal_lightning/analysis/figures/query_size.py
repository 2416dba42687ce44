"""Ablation of the query size (Fig. 5 of the paper)."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from msal_lightning.analysis.figures.style import check_out, line_settings, save
from msal_lightning.analysis.report.aggregate import Spread
from msal_lightning.errors import RunError
from msal_lightning.io.terminal import say
from msal_lightning.io.wording import counted
from msal_lightning.paper.methods import method_name
from msal_lightning.runs.classes import accuracy_scope
from msal_lightning.runs.config import is_free
from msal_lightning.runs.reading import Run, read_runs
from msal_lightning.runs.records import aubc

_VARIES = ("loop.query_size", "seed")


def draw_query_size(runs: Sequence[str], out: str) -> None:
    """Draw AUBC and final accuracy over the query size; unfinished runs are named and left out.

    Args:
        runs: run directories, or folders of run directories; the runs differ in ``loop.query_size`` and seed only.
        out: file of the picture.

    Raises:
        RunError: the runs differ in other keys, fewer than two query sizes are finished, or the picture cannot be
            written.
    """
    check_out(out)
    found = read_runs([Path(run) for run in runs])
    _check(found)
    finished = [run for run in found if _is_finished(run)]
    by_size: dict[int, list[Run]] = defaultdict(list)
    for run in finished:
        by_size[int(run.config.get("loop.query_size", 1))].append(run)
    unfinished = [str(run.folder) for run in found if run not in finished]
    left_out = f" (unfinished: {', '.join(unfinished)})" if unfinished else ""
    if len(by_size) < 2:
        raise RunError(
            f"expected finished runs with two values of loop.query_size or more, got {len(by_size)}{left_out}: run "
            "`fit` with another --loop.query_size"
        )
    save(query_size_panels(by_size), out)
    say(f"{counted(len(finished), 'run')} drawn in {out}{left_out}")


def query_size_panels(by_size: Mapping[int, list[Run]]) -> Figure:
    """Draw AUBC and final accuracy side by side, mean ± sample standard deviation over seeds.

    Args:
        by_size: query size to finished runs.
    """
    figure, panels = plt.subplots(1, 2, figsize=(6.8, 3.0), layout="constrained")
    sizes = sorted(by_size)
    accuracy = accuracy_scope(run.records for runs in by_size.values() for run in runs) or "final accuracy"
    values = {
        "AUBC": [Spread.of([aubc(run.records) for run in by_size[size]]) for size in sizes],
        accuracy: [Spread.of([run.records[-1].accuracy for run in by_size[size]]) for size in sizes],
    }
    name = method_name(by_size[sizes[0]][0].config)
    for axes, (what, spreads) in zip(panels, values.items(), strict=True):
        axes.errorbar(
            sizes,
            [spread.mean for spread in spreads],
            [spread.std or 0.0 for spread in spreads],
            **line_settings(name),
            markersize=5,
            linewidth=1.3,
            capsize=3,
        )
        axes.set(xscale="log", xlabel="labels per query $b$", ylabel=what)
        axes.xaxis.set_major_locator(FixedLocator(sizes))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.grid(alpha=0.3, linewidth=0.5)
        axes.spines[["top", "right"]].set_visible(False)
    first = by_size[sizes[0]][0]
    counts = sorted({len(runs) for runs in by_size.values()})
    number_of_seeds = "1 seed" if counts == [1] else f"{'–'.join(map(str, counts))} seeds, mean ± standard deviation"
    figure.suptitle(f"{name} on {first.dataset}, {number_of_seeds}", fontsize="medium")
    return figure


def _check(runs: Sequence[Run]) -> None:
    first = runs[0]
    for run in runs[1:]:
        for key in sorted({*first.config, *run.config}):
            expected, got = first.config.get(key), run.config.get(key)
            if expected != got and key not in _VARIES and not is_free(key):
                raise RunError(
                    f"expected runs that differ in loop.query_size and seed only, got {key} {expected} in "
                    f"{first.folder} and {got} in {run.folder}: draw them one by one"
                )


def _is_finished(run: Run) -> bool:
    counts = run.label_counts
    return bool(run.records) and (counts is None or run.records[-1].num_labeled >= counts[-1])
