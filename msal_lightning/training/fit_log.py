"""The log of a fit: rows in ``fits/KKK/metrics.csv``, and a call for each epoch."""

import csv
import errno
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import CSVLogger, Logger

Row = dict[str, float]
"""Values of one log call, with their ``step``; at the end of an epoch also with ``epoch``."""
FILES = (r"fits/[0-9]{3,}/(metrics\.csv|hparams\.yaml)",)
"""Patterns of these files, see :mod:`~msal_lightning.io.own_files`."""


class FitLog(Logger):
    """The logger of one fit: it writes the CSV file, and offers the tracker's logger to callbacks.

    Args:
        folder: the run directory.
        round: k.
        rows: log of the interrupted fit that is resumed; empty for a new fit.
        on_epoch: called with the rows of each epoch at its end.
        failed: called with the reason if the file cannot be written.
        behind: returns the tracker's logger; None if it has none.
    """

    def __init__(
        self,
        folder: Path,
        round: int,
        rows: Sequence[Row] = (),
        on_epoch: Callable[[list[Row]], None] = lambda rows: None,
        failed: Callable[[str], None] = lambda reason: None,
        behind: Callable[[], Logger | None] = lambda: None,
    ) -> None:
        super().__init__()
        self._on_epoch, self._failed, self._behind = on_epoch, failed, behind
        self._open: list[Row] = []
        self._fitting, self._ending = True, False
        self._csv: CSVLogger | None = None
        self._folder = fit_folder(folder, round)
        try:
            if self._folder.is_symlink():
                raise OSError(errno.ELOOP, f"'{self._folder}' is a symbolic link")
            for name in (
                "metrics.csv",
                "hparams.yaml",
            ):  # CSVLogger warns about an existing file and would write through links
                (self._folder / name).unlink(missing_ok=True)
            # 1: each row is written at once
            logger = CSVLogger(folder, name="fits", version=self._folder.name, flush_logs_every_n_steps=1)
            logger.experiment.metrics = [dict(row) for row in rows]
            self._csv = logger
            self.save()
        except OSError as error:
            self._lose(error)
        for epoch in split_epochs(rows):
            self._on_epoch(epoch)

    @property
    def open_rows(self) -> list[Row]:
        """Return the rows that callbacks have logged since the last epoch ended."""
        return list(self._open)

    def epoch_ends(self) -> None:
        """Note that the next row with ``epoch`` is the last row of this epoch."""
        self._ending = True

    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:  # noqa: D102
        row: dict[str, Any] = {name: float(value) for name, value in metrics.items()}
        if "epoch" in row:
            row["epoch"] = int(row["epoch"])
        if self._fitting:
            self._open.append({**row, "step": step or 0})
            if self._ending and "epoch" in row:
                rows, self._open, self._ending = self._open, [], False
                self._on_epoch(rows)
        if self._csv:
            try:
                self._csv.log_metrics(row, step)
            except OSError as error:
                self._lose(error)

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Do nothing, because the run directory has the whole configuration."""

    def save(self) -> None:  # noqa: D102
        if self._csv:
            try:
                self._csv.save()
            except OSError as error:
                self._lose(error)

    def finalize(self, status: str) -> None:
        """Flush the rows at the end of a fit; ignore the later ends of the passes over test set and pool."""
        self._fitting = False
        self.save()

    def _lose(self, error: OSError) -> None:
        self._csv = None
        self._failed(error.strerror or str(error))

    @property
    def name(self) -> str:  # noqa: D102
        return "fits"

    @property
    def version(self) -> str:  # noqa: D102
        return self._folder.name

    @property
    def save_dir(self) -> str:  # noqa: D102
        return str(self._folder)

    @property
    def experiment(self) -> Any:
        """The experiment of the tracker's logger, or of the CSV logger if there is none."""
        behind = self._behind() or self._csv
        return getattr(behind, "experiment", None)

    def __getattr__(self, name: str) -> Any:
        """Forward further methods of the tracker's logger, for callbacks that log images or text."""
        if name.startswith("_") or (behind := self._behind()) is None:
            raise AttributeError(f"the logger of this run has no '{name}'")
        return getattr(behind, name)


class EndOfEpochs(Callback):
    """Notifies the :class:`FitLog` of the end of an epoch; Lightning logs its values only after this hook."""

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: D102
        for log in trainer.loggers:
            if isinstance(log, FitLog):
                log.epoch_ends()


def open_rows(trainer: Trainer) -> list[Row]:
    """Return the rows that a Trainer's callbacks have logged in the current epoch; empty except on rank 0."""
    return [row for log in trainer.loggers if isinstance(log, FitLog) for row in log.open_rows]


def fit_folder(folder: Path, round: int) -> Path:
    """Return the folder of a round's fit, below the run directory."""
    return folder / "fits" / f"{round:03d}"


def split_epochs(rows: Iterable[Row]) -> list[list[Row]]:
    """Group rows by epoch; a row without ``epoch`` belongs to the next row with it."""
    epochs: dict[float, list[Row]] = {}
    waiting: list[Row] = []
    for row in rows:
        waiting.append(row)
        if "epoch" in row:
            epochs.setdefault(row["epoch"], []).extend(waiting)
            waiting = []
    return [epochs[number] for number in sorted(epochs)]


def read_fit_epochs(folder: Path, round: int, test_metrics: Iterable[str]) -> list[list[Row]]:
    """Read the epochs of a finished fit from its file.

    Args:
        folder: the run directory.
        round: k.
        test_metrics: names of metrics that the later test logged; they are left out.

    Returns:
        Rows by epoch; empty if the file is missing or damaged.
    """
    no_epochs = {*test_metrics, "epoch", "step"}
    try:
        with (fit_folder(folder, round) / "metrics.csv").open(newline="", encoding="utf-8") as file:
            found = [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(file)]
    except (OSError, ValueError, TypeError, AttributeError, csv.Error):
        return []
    rows = [row for row in found if not row.keys() <= no_epochs and "step" in row]
    return split_epochs([row | {name: int(row[name]) for name in ("epoch", "step") if name in row} for row in rows])
