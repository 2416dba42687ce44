"""The screen of a running loop: a progress bar per phase, one line per round, and the result at the end."""

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from rich.console import Console
from rich.progress import Progress, TaskID
from torch import Tensor

from msal_lightning.io.console import SafeConsole, shared_console
from msal_lightning.io.progress_bar import progress_bar
from msal_lightning.io.rounding import fixed
from msal_lightning.io.terminal import say
from msal_lightning.io.wording import counted
from msal_lightning.models.class_results import MOST_CLASSES
from msal_lightning.oracles.base import AwaitingLabels, LabelingBatch
from msal_lightning.runs.classes import MissingClasses, accuracy_name, missing_classes, say_segment
from msal_lightning.runs.directory import RunDirectory
from msal_lightning.runs.records import RoundRecord, aubc
from msal_lightning.training.step_callback import StepCallback, steps_per_epoch

_PLAIN_SECONDS = 30  # without a terminal: interval between lines in a long phase


class RoundProgress(StepCallback):
    """Shows one bar per phase of a round; without a terminal it prints a plain line every 30 seconds.

    Args:
        round: k, shown as ``round k/last``.
        last_round: number of the last round.
    """

    def __init__(self, round: int, last_round: int) -> None:
        self._title = f"round {round}/{last_round}"
        self._progress: Progress | None = None
        self._task = TaskID(0)
        self._phase = ""
        self._total: float | None = None
        self._of = ""  # the number of epochs, if there is an end
        self._done = 0
        self._last_line = 0.0

    def _start(self, phase: str, total: float | None) -> None:
        self._phase, self._total, self._done, self._last_line = phase, total, 0, time.monotonic()
        self._progress = progress_bar()
        if self._progress is not None:
            self._progress.start()
            self._task = self._progress.add_task(f"{self._title} {phase}", total=total)

    def _advance(self, note: str = "") -> None:
        self._done += 1
        if self._progress is not None:
            self._progress.update(self._task, completed=self._done, description=f"{self._title} {self._phase}{note}")
        elif time.monotonic() - self._last_line > _PLAIN_SECONDS:
            self._last_line = time.monotonic()
            share = f" {self._done / self._total:.0%}" if self._total else ""
            say(f"{self._title} {self._phase}{note}{share}", flush=True)

    def _stop(self) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: D102
        steps = steps_per_epoch(trainer)
        by_epochs, by_steps = trainer.max_epochs or -1, trainer.max_steps
        ends = [end for limit, end in ((by_epochs, steps * by_epochs), (by_steps, by_steps)) if limit > 0]
        self._start("fit", min(ends, default=None))
        self._of = f"/{math.ceil(min(ends) / steps)}" if ends and steps else ""
        self._done = steps * trainer.current_epoch  # epochs before an interruption

    def on_step_end(self, trainer: Trainer, loss: Tensor | None, step: int) -> None:  # noqa: D102
        self._advance(f" epoch {trainer.current_epoch + 1}{self._of}")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: D102
        self._stop()

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: D102
        self._start("test", sum(trainer.num_test_batches))

    def on_test_batch_end(self, *args: Any, **kwargs: Any) -> None:  # noqa: D102
        self._advance()

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: D102
        self._stop()

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: D102
        self._start("pool", sum(trainer.num_predict_batches))

    def on_predict_batch_end(self, *args: Any, **kwargs: Any) -> None:  # noqa: D102
        self._advance()

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: D102
        self._stop()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:  # noqa: D102
        self._stop()


class Display:
    """Prints the run to the terminal.

    Args:
        console: where to print; by default rich's shared console.
    """

    _COLUMNS = (
        ("round", 5),
        ("labels", 7),
        ("accuracy", 8),
        ("balanced", 8),
        ("pool error", 10),
        ("fit s", 8),
        ("query s", 8),
    )

    def __init__(self, console: Console | None = None) -> None:
        shared = shared_console()  # in a notebook the shared console would put each line into its own paragraph
        self._console = console or (SafeConsole(force_jupyter=False) if shared.is_jupyter else shared)
        self._records: list[RoundRecord] = []
        self._missing = MissingClasses(0, (), ())

    def silent(self) -> None:
        """Print nothing from here on, because another process of this run prints."""
        self._console = SafeConsole(quiet=True)

    def note(self, text: str) -> None:
        """Print a note that the user should read although nothing is lost."""
        self._print(text, style="yellow")

    def start(self, title: str, records: list[RoundRecord]) -> None:
        """Print the title and the finished rounds of an interrupted run."""
        self._print(title)
        self._print("  ".join(f"{name:>{width}}" for name, width in self._COLUMNS), style="bold")
        for record in records:
            self.round(record)
        if records:
            self._print(f"(resuming after round {records[-1].round})", style="dim")

    def round(self, record: RoundRecord) -> None:
        """Print one line for a finished round."""
        balanced, error = record.metrics.get("balanced_accuracy"), record.pool_error
        values = (
            str(record.round),
            str(record.num_labeled),
            fixed(record.accuracy, 4),
            "–" if balanced is None else fixed(balanced, 4),
            "–" if error is None else fixed(error, 4),
            f"{record.seconds['fit']:.1f}",
            f"{record.seconds['query']:.2f}",
        )
        line = "  ".join(f"{value:>{width}}" for value, (_, width) in zip(values, self._COLUMNS, strict=True))
        if record.pseudo_labels:
            wrong = record.pseudo_labels.wrong
            line += f"  +{len(record.pseudo_labels.index)} pseudo-labels"
            if record.pseudo_labels.threshold == 0:
                line += " (the threshold is 0 from here on)"
            elif wrong is not None:
                line += f", {wrong} wrong"
        if record.starts_segment:
            count = counted(len(record.class_names or []), "class")
            self._print(
                f"(classes were changed: {count} from here on, so the accuracies above are of another question)"
            )
        self._print(line)
        self._classes(record)

    def _classes(self, record: RoundRecord) -> None:
        """Warn when the set of missing classes changes, and note once which results many classes leave out."""
        self._records = [*self._records[: record.round], record]
        if record.test_classes is None or len(self._records) <= record.round:  # earlier rounds are unknown here
            return
        if record.round == 0 and (count := len(record.test_classes.images)) > MOST_CLASSES:
            self._print(f"(confusion matrix and AUROC are left out for more than {MOST_CLASSES:,} classes: {count:,})")
        missing = missing_classes(self._records, record.round)
        if missing != self._missing:
            for warning in missing.warnings:
                self._print(f"WARNING: {warning}", style="bold red" if "test image" in warning else "yellow")
        self._missing = missing

    def waiting(self, waiting: AwaitingLabels, ahead: Sequence[LabelingBatch]) -> None:
        """Print the pending labeling request, and what was requested ahead of its round; the loop stops here."""
        self._print(str(waiting), style="bold")
        for batch in ahead:
            self._print(f"{batch.name} with {counted(len(batch.items), 'image')} may be labeled at the same time")
        self._print(waiting.how or "the same command resumes the run as soon as the labels are there")

    def already_finished(self, path: Path) -> None:
        """Print that no round is left."""
        self._print(f"The run in {path} is finished; `extend` queries more, and --overwrite starts it anew.")

    def finish(self, records: list[RoundRecord], run: RunDirectory) -> None:
        """Print the result, its folder and its size on disk."""
        area, segment = aubc(records), say_segment(records)
        total, checkpoints = (f"{size / 1e6:.1f} MB" for size in run.disk_use())
        self._print(
            f"AUBC {'–' if math.isnan(area) else fixed(area, 4)}{f' ({segment})' if segment else ''}, "
            f"{accuracy_name(records)} "
            f"{fixed(records[-1].accuracy, 4)} "
            f"with {counted(records[-1].num_labeled, 'label')}; results in {run.path} "
            f"({total}, {checkpoints} of it checkpoints)",
            style="bold",
        )
        for warning in missing_classes(records, len(records) - 1).warnings:
            self._print(f"WARNING: {warning}", style="bold red" if "test image" in warning else "yellow")

    def _print(self, text: str, style: str | None = None) -> None:
        self._console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)
