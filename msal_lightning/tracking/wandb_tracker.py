"""A run of Weights & Biases as a tracker."""

import math
import uuid
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import Logger, WandbLogger
from torch import Tensor

from msal_lightning.io.atomic import write_atomically
from msal_lightning.io.terminal import clean
from msal_lightning.models.classifier import MSALClassifier
from msal_lightning.paper.methods import last_word, method_name
from msal_lightning.runs.config import flatten
from msal_lightning.runs.directory import RunDirectory
from msal_lightning.runs.records import RoundRecord
from msal_lightning.tracking.base import Epoch, Tracker, loop_row
from msal_lightning.tracking.queried_images import FILES as QUERIED_FILES
from msal_lightning.tracking.queried_images import QueriedImages
from msal_lightning.tracking.wandb_run import group_name, is_offline, start_wandb, sweep_run_id

_ID_FILE = "wandb_id"
_RUN_OF_WANDB = "wandb/(offline-)?run-[^/]+"
FILES = (
    _ID_FILE,
    *QUERIED_FILES,
    rf"{_RUN_OF_WANDB}/((files|logs|tmp)/.+|run-[^/]+\.wandb(\.synced)?)",
    r"wandb/(latest-run|debug[^/]*\.log)",
)
"""Files that this tracker writes into a run directory, see :mod:`~msal_lightning.io.own_files`."""
_STARTED, _FINISHED = "started", "finished"  # after the run's id, since a kill may come between two steps
_MOST_BINS = 512  # of a histogram, W&B's own limit


class WandbTracker(Tracker):
    """One run of Weights & Biases for the whole loop, with a table of queried images and the ledger as an artifact.

    Args:
        run: the run directory; it stores the id of the W&B run, which a resumed loop resumes.
        queried: makes the table of each round's queried images; None for no table.
    """

    name = "wandb"

    def __init__(self, run: RunDirectory, queried: QueriedImages | None = None) -> None:
        self._run = run
        self._queried = queried
        self._logger: Logger | None = None

    def start(self) -> None:
        """Begin or resume. W&B's server knows what it has received; an offline folder starts empty.

        Raises:
            UserError: W&B needs an account, or cannot be reached.
        """
        config = flatten(self._run.config)
        names = {"dataset": last_word(config.get("data.class_path")), "method": method_name(config)}
        begun_before = self.started
        tags = [clean(str(tag))[:64] for tag in (*names.values(), config.get("model.head")) if tag]  # 64: W&B's limit
        self._wandb = start_wandb(
            _wandb_id(self._run.path),
            ask=not begun_before,
            group=group_name(self._run.config),
            job_type="fit",
            tags=None if begun_before and not is_offline() else tags,  # a user may have changed them there
            name=clean(self._run.name),
            dir=str(self._run.path.resolve()),  # W&B's own process may be in another folder
            config={**names, **self._run.config},
            resume="allow",
        )
        for section, axis in (("loop", "loop/num_labeled"), ("fit", "fit/epoch")):
            self._wandb.define_metric(axis)
            self._wandb.define_metric(f"{section}/*", step_metric=axis)
        self.epochs = self.rounds = 0
        if self._wandb.resumed:
            self.epochs, self.rounds = (1 + int(self._last(key)) for key in ("fit/epoch", "loop/round"))
        self._logger = WandbLogger(experiment=self._wandb)
        if not begun_before:
            self._keep(_STARTED)

    def _last(self, key: str) -> float:
        last: float = self._wandb.summary.get(key, -1)  # type: ignore[no-untyped-call]
        return last

    def log_epoch(self, epoch: Epoch) -> None:  # noqa: D102
        row = {f"fit/{name}": value for row in epoch.rows for name, value in row.items() if name != "step"}
        self._wandb.log({**row, "fit/epoch": epoch.number, "fit/round": epoch.round})

    def log_round(self, record: RoundRecord) -> None:  # noqa: D102
        row = loop_row(record)
        if any(record.class_counts) and len(record.class_counts) <= _MOST_BINS:
            import wandb

            edges = list(range(len(record.class_counts) + 1))
            row["loop/bought_per_class"] = wandb.Histogram(
                np_histogram=(np.array(record.class_counts), np.array(edges))
            )
        if self._queried and (table := self._queried.table(record)):
            row["queried"] = table
        self._wandb.log(row)  # one row, so that W&B has a whole round or nothing of it

    def queried(self, round: int, queried: Tensor, model: MSALClassifier, trainer: Trainer) -> None:  # noqa: D102
        if self._queried:
            self._queried.predict(round, queried, model, trainer)

    def pause(self) -> None:  # noqa: D102
        self._wandb.finish()  # the next process resumes it by its id

    def finish(self, summary: dict[str, float]) -> None:  # noqa: D102
        known = {name: value for name, value in summary.items() if math.isfinite(value)}  # one round has no area
        self._wandb.summary.update(known)
        self._log_ledger(known)
        self._wandb.finish()
        self._keep(_FINISHED)

    def _log_ledger(self, summary: dict[str, Any]) -> None:
        import wandb

        # named by the run: the same files stay one version, even if a finished run is reported again
        ledger = wandb.Artifact(f"run-{self._wandb.id}-ledger", "dataset", "what was labeled when", metadata=summary)
        for name in ("ledger.csv", "curve.csv", "config.yaml"):
            if (self._run.path / name).exists():
                ledger.add_file(str(self._run.path / name))
        self._wandb.log_artifact(ledger)

    @property
    def started(self) -> bool:  # noqa: D102
        words = _words(self._run.path)
        # former versions stored the id only
        return len(words) > 1 or (len(words) == 1 and any((self._run.path / "rounds").glob("*.json")))

    @property
    def finished(self) -> bool:  # noqa: D102
        return _words(self._run.path) == [_wandb_id(self._run.path), _FINISHED]

    @property
    def logger(self) -> Logger | None:  # noqa: D102
        return self._logger

    def _keep(self, how_far: str) -> None:
        write_atomically(self._run.path / _ID_FILE, f"{_wandb_id(self._run.path)}\n{how_far}\n")


def _wandb_id(path: Path) -> str:
    if (given := sweep_run_id()) is not None:
        return given
    if not _words(path):
        write_atomically(path / _ID_FILE, uuid.uuid4().hex[:8])
    return _words(path)[0]


def _words(path: Path) -> list[str]:
    file = path / _ID_FILE
    return file.read_text(encoding="utf-8").split() if file.exists() else []
