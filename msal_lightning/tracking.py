"""Where the curves go: CSV files, Weights & Biases, or any logger of Lightning."""

import math
import uuid
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import CSVLogger, Logger, WandbLogger
from torch import Tensor

from msal_lightning.atomic import write_atomically
from msal_lightning.methods import last_word, method_name
from msal_lightning.module import MSALClassifier
from msal_lightning.queried import QueriedImages
from msal_lightning.runs import RoundRecord, RunDirectory, curve_row, flatten
from msal_lightning.wandb_run import group_name, start_wandb, sweep_run_id

_ID_FILE, _FINISHED = "wandb_id", "finished"  # the run's id, and behind it the end, in case it is killed before
_MOST_BINS = 512  # of a histogram, W&B's own limit


class Tracker(ABC):
    """One for the whole loop: gives each fit its logger and draws the budget curve over the number of labels."""

    @abstractmethod
    def logger(self, round: int, rows: Sequence[dict[str, float]] = ()) -> Logger:
        """The logger of one round's Trainer.

        Args:
            round: k.
            rows: what the interrupted fit that goes on had logged, one an epoch; none for a new one.
        """

    def start(self, records: list[RoundRecord]) -> None:
        """Called once before the first logger is asked for, with the rounds of an interrupted run."""

    def queried(self, round: int, bought: Tensor, model: MSALClassifier, trainer: Trainer) -> None:
        """Called before a round's record is written, with the model that queried.

        Args:
            round: k.
            bought: (b,) int64, dataset-absolute, best first.
            model: of the round.
            trainer: of the round.
        """

    def log_round(self, record: RoundRecord) -> None:
        """Add a point to the budget curve."""

    def pause(self) -> None:
        """Called instead of :meth:`finish` where the loop waits for a person; a later process goes on."""

    def finish(self, summary: dict[str, float]) -> None:
        """Called once at the end of the run, with AUBC and final accuracy."""

    @property
    def finished(self) -> bool:
        """Whether all is told of a run whose rounds are all recorded."""
        return True


class CSVTracker(Tracker):
    """CSV files only, no account: ``curve.csv`` by the run directory, ``fits/KKK/metrics.csv`` for each fit.

    Args:
        run: the run directory.
    """

    def __init__(self, run: RunDirectory) -> None:
        self._run = run

    def logger(self, round: int, rows: Sequence[dict[str, float]] = ()) -> Logger:  # noqa: D102
        file = self._run.path / "fits" / f"{round:03d}" / "metrics.csv"
        file.unlink(missing_ok=True)  # CSVLogger does so too, with a warning
        # 1: each row is on disk at once, a row an epoch
        logger = CSVLogger(self._run.path, name="fits", version=f"{round:03d}", flush_logs_every_n_steps=1)
        logger.experiment.metrics = list(rows)
        return logger


class LightningTracker(Tracker):
    """Any logger of Lightning, given by ``class_path``; the number of labels is the step of the budget curve.

    Args:
        logger: the logger, shared by all rounds.
    """

    def __init__(self, logger: Logger) -> None:
        self._logger = logger

    def logger(self, round: int, rows: Sequence[dict[str, float]] = ()) -> Logger:  # noqa: D102
        return self._logger

    def log_round(self, record: RoundRecord) -> None:  # noqa: D102
        row = {name: value for name, value in _loop_row(record).items() if value is not None}
        self._logger.log_metrics(row, step=record.num_labeled)

    def pause(self) -> None:  # noqa: D102
        self._logger.save()

    def finish(self, summary: dict[str, float]) -> None:  # noqa: D102
        self._logger.log_hyperparams(summary)
        self._logger.finalize("success")


class WandbTracker(Tracker):
    """One run of Weights & Biases for the whole loop, with a table of queried images and the ledger as an artifact.

    Args:
        run: the run directory; keeps the run's id, so that a resumed loop goes on in the same W&B run.
        queried: of each purchase; None: no table.
    """

    def __init__(self, run: RunDirectory, queried: QueriedImages | None = None) -> None:
        self._run = run
        self._queried = queried

    def start(self, records: list[RoundRecord]) -> None:
        """Begin or go on, and log again what W&B does not have: all earlier rounds offline, none of them online.

        Raises:
            UserError: W&B wants an account, or is out of reach.
        """
        config = flatten(self._run.config)
        names = {"dataset": last_word(config.get("data.class_path")), "method": method_name(config)}
        self._wandb = start_wandb(
            _wandb_id(self._run.path),
            group=group_name(self._run.config),
            name=self._run.name,
            dir=self._run.path.resolve(),  # W&B's own process may be in another folder
            config={**names, **self._run.config},
            resume="allow",
        )
        self._wandb.define_metric("loop/num_labeled")
        self._wandb.define_metric("loop/*", step_metric="loop/num_labeled")
        known = self._wandb.summary.get("loop/round", -1) if self._wandb.resumed else -1  # type: ignore[no-untyped-call]
        for record in records[known + 1 :]:
            self.log_round(record)

    def logger(self, round: int, rows: Sequence[dict[str, float]] = ()) -> Logger:  # noqa: D102
        # a prefix for each round: the steps of a fit start at 0 again and would overlap
        return WandbLogger(experiment=self._wandb, prefix=f"round_{round:03d}")

    def queried(self, round: int, bought: Tensor, model: MSALClassifier, trainer: Trainer) -> None:  # noqa: D102
        if self._queried:
            self._queried.predict(round, bought, model, trainer)

    def log_round(self, record: RoundRecord) -> None:  # noqa: D102
        row: dict[str, Any] = {name: value for name, value in _loop_row(record).items() if value is not None}
        if any(record.class_counts) and len(record.class_counts) <= _MOST_BINS:
            import wandb

            edges = list(range(len(record.class_counts) + 1))
            row["loop/bought_per_class"] = wandb.Histogram(
                np_histogram=(np.array(record.class_counts), np.array(edges))
            )
        if self._queried and (table := self._queried.table(record)):
            row["queried"] = table
        self._wandb.log(row)  # all in one row, so that W&B has all of a round or nothing

    def pause(self) -> None:  # noqa: D102
        self._wandb.finish()  # the next process resumes it by its id

    def finish(self, summary: dict[str, float]) -> None:  # noqa: D102
        known = {name: value for name, value in summary.items() if math.isfinite(value)}  # one round has no area
        self._wandb.summary.update(known)
        self._log_ledger(known)
        self._wandb.finish()
        write_atomically(self._run.path / _ID_FILE, f"{_wandb_id(self._run.path)}\n{_FINISHED}\n")

    def _log_ledger(self, summary: dict[str, Any]) -> None:
        import wandb

        # named by the run: the same files are the same version, however often a run that ended is told of
        ledger = wandb.Artifact(f"run-{self._wandb.id}-ledger", "dataset", "what was bought", metadata=summary)
        for name in ("ledger.csv", "curve.csv", "config.yaml"):
            if (self._run.path / name).exists():
                ledger.add_file(str(self._run.path / name))
        self._wandb.log_artifact(ledger)

    @property
    def finished(self) -> bool:  # noqa: D102
        file = self._run.path / _ID_FILE
        return file.exists() and file.read_text().split() == [_wandb_id(self._run.path), _FINISHED]


def _loop_row(record: RoundRecord) -> dict[str, Any]:
    return {f"loop/{name}": value for name, value in curve_row(record).items()}


def _wandb_id(path: Path) -> str:
    if (given := sweep_run_id()) is not None:
        return given
    file = path / _ID_FILE
    if not file.exists():
        write_atomically(file, uuid.uuid4().hex[:8])
    return file.read_text().split()[0]
