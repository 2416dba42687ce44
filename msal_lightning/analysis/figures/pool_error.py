"""Error rate on the pool (Fig. 3 of the paper)."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from msal_lightning.analysis.figures.budget import seeds
from msal_lightning.analysis.figures.groups import dataset_of, read_groups
from msal_lightning.analysis.figures.style import check_out, draw_mean, finish_curves, save
from msal_lightning.errors import RunError
from msal_lightning.io.terminal import say
from msal_lightning.io.wording import counted
from msal_lightning.runs.reading import Run
from msal_lightning.runs.records import last_segment


def draw_pool_error(runs: Sequence[str], out: str) -> None:
    """Draw the error rate of each round's model on the pool, before the query.

    Runs without an error rate are named and left out.

    Args:
        runs: run directories, or folders of run directories.
        out: file of the picture.

    Raises:
        RunError: no run has an error rate, the runs cannot be read, or the picture cannot be written.
    """
    check_out(out)
    groups = read_groups([Path(run) for run in runs])
    without = [str(run.folder) for of_group in groups.values() for run in of_group if not _errors(run)]
    if len(without) == sum(map(len, groups.values())):
        raise RunError(
            f"expected runs with an error rate on the pool, found none in {', '.join(map(str, runs))}: run `fit` with "
            "--loop.pool_error true"
        )
    save(pool_error_curves(groups, dataset_of(groups)), out)
    say(f"{counted(sum(map(len, groups.values())) - len(without), 'run')} drawn in {out}")
    if without:
        say(f"no error rate on the pool in {', '.join(without)}: `fit` with --loop.pool_error true measures it")


def pool_error_curves(groups: Mapping[str, list[Run]], title: str = "") -> Figure:
    """Draw one line per group, in percent, over the rounds that all its runs measured.

    Args:
        groups: name to runs; runs and groups without a pool error are left out.
        title: name of the dataset.
    """
    figure, axes = plt.subplots(figsize=(6.4, 4.0), layout="constrained")
    for name, runs in sorted(groups.items()):
        errors = [error for run in runs if (error := _errors(run))]
        rounds = sorted(set.intersection(*map(set, errors))) if errors else []
        if rounds:
            values = [[100 * error[k] for k in rounds] for error in errors]
            draw_mean(axes, rounds, values, name, f"{name} ({seeds(len(errors))})")
    axes.set(xlabel="round", ylabel="error rate on the pool (%)", title=title)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    finish_curves(axes, "upper right")
    return figure


def _errors(run: Run) -> dict[int, float]:
    records = last_segment(run.records)  # others have other classes
    return {record.round: record.pool_error for record in records if record.pool_error is not None}
