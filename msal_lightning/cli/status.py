"""The output of the command ``status``."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path

import rich.box
from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from msal_lightning.analysis.stats.estimates import Estimate
from msal_lightning.analysis.status import Round, Status, conclusions, look, read_quietly
from msal_lightning.errors import UserError
from msal_lightning.io.console import SafeConsole
from msal_lightning.io.rounding import fixed
from msal_lightning.io.terminal import say
from msal_lightning.io.wording import counted
from msal_lightning.runs.classes import ClassRow
from msal_lightning.runs.reading import run_folders, say_left_out

_BAR = 20  # characters, so that the table fits into 80 columns
_SHOWN_CLASSES = 12


def status(runs: Sequence[str], against: Sequence[str] = (), as_json: bool = False) -> None:
    """Print the status of runs, one below the other.

    Args:
        runs: run directories, or folders of run directories.
        against: runs of Random, or folders of such runs; by default those beside each run.
        as_json: print one JSON list instead.

    Raises:
        UserError: a named folder is no run directory, or a file in it is damaged; all other runs are printed before. A
            damaged run in a folder of runs only gets a note.
    """
    found, mistakes = _look_at_all([Path(run) for run in runs], [Path(other) for other in against])
    if as_json and found:
        say(json.dumps([{**asdict(one), "bought": one.queried} for one in found], indent=1))  # its former name too
    else:
        console = SafeConsole(highlight=False)
        for k, one in enumerate(found):
            console.print(end="\n" if k else "")
            show(one, console)
    if mistakes:
        raise mistakes[0]


def _look_at_all(paths: Sequence[Path], against: Sequence[Path]) -> tuple[list[Status], list[UserError | OSError]]:
    """Return all runs that can be read, and the errors of runs that the user named."""
    read = cache(read_quietly)  # the same runs lie beside each run of a folder
    found: list[Status] = []
    mistakes: list[UserError | OSError] = []
    for path in paths:
        folders = run_folders(path)
        for folder in folders:
            try:
                found.append(look(folder, against, read))
            except (UserError, OSError) as error:
                if len(folders) == 1:
                    mistakes.append(error)
                else:
                    say_left_out(folder, error)
    if not found and not mistakes:
        mistakes.append(UserError(f"expected a readable run in {', '.join(map(str, paths))}, found damaged ones only"))
    return found, mistakes


def show(status: Status, console: Console) -> None:
    """Print a head line, the curve as bars, and the conclusions.

    Args:
        status: status of a run.
        console: the output.
    """
    console.print(Text(f"{status.run}: {status.method} on {status.dataset}, seed {status.seed}", style="bold"))
    rounds = _of(len(status.tested), status.rounds, "round")
    budget = _of(status.initial + status.queried + status.held_out, status.budget, "label")
    held_out = f", {status.held_out:,} held out to test on" if status.held_out else ""
    skipped = f", {status.skipped} skipped" if status.skipped else ""
    console.print(
        f"{rounds}, {budget} ({status.initial:,} initial, {status.queried:,} queried{held_out}{skipped})",
        markup=False,
    )
    if status.busy:
        console.print(f"running: {status.busy}", markup=False)
    if (waiting := status.waiting) is not None:
        where = waiting.file or waiting.question
        labels = "the label is" if waiting.labels == 1 else f"all {waiting.labels} labels are"
        console.print(
            f"waiting for {waiting.blank} of {counted(waiting.labels, 'label')} in {where}"
            if waiting.blank or waiting.mistake
            else f"{labels} in {where}: the same `fit` command resumes the run",
            markup=False,
        )
        for share in waiting.shares:
            console.print(f"  {share.blank} of {share.labels} in {share.file}", markup=False)
        if status.num_ahead:
            console.print(f"{counted(status.num_ahead, 'image')} of later rounds may be labeled already", markup=False)
        if waiting.mistake:
            console.print(waiting.mistake, markup=False)
    if status.warnings:
        text = Text("\n".join(status.warnings))
        console.print(Panel(text, title="WARNING", title_align="left", border_style="bold red", style="red"))
    if status.tested:
        console.print(_curve(status.tested))
    if status.classes:
        console.print(_by_class(status.classes, status.tested[-1].round))
    for amended in status.amendments:
        known = f"known from {'the start' if amended.before_round == 0 else f'round {amended.before_round}'} on"
        told = f' — "{amended.reason}"' if amended.reason else ""
        console.print(f"amended {amended.when[:10]}: {amended.what} ({known}){told}", markup=False)
    for line in conclusions(status):
        console.print(line, markup=False)
    total, models = (f"{size / 1e6:.1f} MB" for size in status.disk)
    console.print(f"{total} on disk, {models} of it checkpoints (loop.keep_checkpoints)", markup=False)


def _of(number: int, total: int | None, noun: str) -> str:
    return f"{number:,} of {counted(total, noun)}" if total else counted(number, noun)


def _curve(rounds: Sequence[Round]) -> Table:
    table = Table(box=rich.box.SIMPLE_HEAD)
    for name in ("round", "labels", "accuracy", "95 %", "", "seconds"):
        table.add_column(name, justify="left" if not name else "right")
    values = [r.accuracy.value if isinstance(r.accuracy, Estimate) else r.accuracy for r in rounds]
    low, high = min(values), max(values)
    for one, value in zip(rounds, values, strict=True):
        if one.classes is not None:
            table.add_section()
            table.add_row("", "", "", "", f"{counted(one.classes, 'class')}:")
        ends = one.accuracy
        interval = f"{fixed(ends.low, 3)} – {fixed(ends.high, 3)}" if isinstance(ends, Estimate) else "–"
        # from the lowest round, since from 0 all bars would look alike
        length = 1 if high == low else 1 + round((_BAR - 1) * (value - low) / (high - low))
        table.add_row(
            str(one.round),
            f"{one.labels:,}",
            fixed(value, 4),
            interval,
            Text("━" * length, style="cyan"),
            f"{one.seconds:.0f}",
        )
    return table


def _by_class(classes: Sequence[ClassRow], round: int) -> Table:
    table = Table(box=rich.box.SIMPLE_HEAD, title_justify="left", title_style="bold")
    shown = classes[:_SHOWN_CLASSES]
    left_out = len(classes) - len(shown)
    table.title = f"classes of round {round}, the lowest F1 first" + (
        f" ({left_out:,} more in per_class.csv)" if left_out else ""
    )
    table.add_column("class", overflow="ellipsis", max_width=20)
    has_train = any(row.train is not None for row in classes)  # unknown if a person labels
    for name in ("test", *(["train"] if has_train else []), "labeled", "precision", "recall", "F1", "AUROC"):
        table.add_column(name, justify="right")
    for row in shown:
        train = [Text("–" if row.train is None else f"{row.train:,}")] if has_train else []
        counts = (_count(row.test), *train, _count(row.labeled))
        ratios = ["–" if value is None else fixed(value, 3) for value in (row.precision, row.recall, row.f1, row.auroc)]
        table.add_row(Text(row.name), *counts, *ratios)
    return table


def _count(number: int) -> Text:
    """Format a number of images; every class needs some."""
    return Text(f"{number:,}") if number else Text("none", style="bold red")
