"""Any Lightning logger as a tracker, with one version for the whole run."""

import json
import math
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import CSVLogger, Logger

from msal_lightning.io.atomic import write_atomically
from msal_lightning.runs.config import flatten
from msal_lightning.runs.directory import RunDirectory
from msal_lightning.runs.records import RoundRecord
from msal_lightning.tracking.base import Epoch, Tracker, loop_row

STATE_FILE = "tracker.json"
"""File of a run directory with the logger's class, its version, and how much of the run was reported to it."""
FILES = (r"tracker\.json",)
"""Files that this tracker writes into a run directory, see :mod:`~msal_lightning.io.own_files`."""


class LightningTracker(Tracker):
    """Sends a logger all fits of a run with consecutive steps, and the budget curve over the labels.

    Args:
        logger: a Lightning logger.
        run: the run directory; it stores how much was reported, so that a resumed run repeats and omits nothing.
    """

    def __init__(self, logger: Logger, run: RunDirectory) -> None:
        self._logger = logger
        self._run = run
        self.name = type(logger).__name__

    def start(self) -> None:  # noqa: D102
        state = read_state(self._run.path, self.name)
        same = bool(state) and state["version"] == self._logger.version
        if same:
            self._forget_file()
        getattr(self._logger, "experiment", None)  # the first use makes it
        self.epochs = self.rounds = 0
        if same and not isinstance(self._logger, CSVLogger):  # CSVLogger begins its file anew
            self.epochs, self.rounds = state["epochs"], state["rounds"]
        if not same:
            self._logger.log_hyperparams(flatten(self._run.config))
        self._logger.save()
        self._keep()

    def log_epoch(self, epoch: Epoch) -> None:  # noqa: D102
        for row in epoch.rows:
            self._logger.log_metrics({k: v for k, v in row.items() if k != "step"}, step=int(row["step"]))
        self._logger.save()
        self._keep(epochs=epoch.number + 1)

    def log_round(self, record: RoundRecord) -> None:  # noqa: D102
        self._logger.log_metrics(loop_row(record), step=record.num_labeled)
        self._logger.save()
        self._keep(rounds=record.round + 1)

    def pause(self) -> None:  # noqa: D102
        self._logger.save()

    def finish(self, summary: dict[str, float]) -> None:  # noqa: D102
        known = {name: value for name, value in summary.items() if math.isfinite(value)}  # one round has no area
        self._logger.log_metrics(known, step=0)
        self._logger.finalize("success")
        self._keep(finished=True)

    @property
    def started(self) -> bool:  # noqa: D102
        return bool(read_state(self._run.path, self.name))

    @property
    def finished(self) -> bool:  # noqa: D102
        return bool(read_state(self._run.path, self.name).get("finished"))

    @property
    def logger(self) -> Logger:  # noqa: D102
        return self._logger

    def _forget_file(self) -> None:
        """Delete the files of a CSVLogger, which receives everything again. By itself it would warn about them."""
        if isinstance(self._logger, CSVLogger):
            for name in ("metrics.csv", "hparams.yaml"):
                (Path(self._logger.log_dir) / name).unlink(missing_ok=True)

    def _keep(self, **changed: Any) -> None:
        state = {"epochs": self.epochs, "rounds": self.rounds, "finished": False, **changed}
        own = {"logger": self.name, "version": self._logger.version}
        write_atomically(self._run.path / STATE_FILE, json.dumps(own | state))


def read_state(folder: Path, name: str) -> dict[str, Any]:
    """Read how much an earlier start of a run reported to a logger of this class; empty if there was none.

    Args:
        folder: the run directory.
        name: name of the logger's class.
    """
    try:
        state = json.loads((folder / STATE_FILE).read_text(encoding="utf-8"))
        fits = state["logger"] == name and {"version", "epochs", "rounds"} <= state.keys()
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}
    return dict(state) if fits else {}
