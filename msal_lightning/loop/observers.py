"""The receivers of a run's events: files, a tracker, the screen."""

from collections.abc import Sequence
from typing import Any

from lightning.pytorch import Callback
from lightning.pytorch.loggers import Logger
from lightning.pytorch.loggers.logger import DummyLogger
from torch import Tensor

from msal_lightning.io.kill_points import kill_point
from msal_lightning.loop.display import Display, RoundProgress
from msal_lightning.models.classifier import MSALClassifier
from msal_lightning.oracles.base import AwaitingLabels
from msal_lightning.runs.classes import accuracy_name
from msal_lightning.runs.directory import RunDirectory
from msal_lightning.runs.records import RoundRecord, aubc, last_segment
from msal_lightning.tracking import Tracker, Tracking
from msal_lightning.training.distributed import Ranks


class Observers:
    """Sends the events of a run to files, tracker and screen; only the first process writes and prints.

    Args:
        run: stores the records.
        tracker: an additional display of the run; None for files only.
        ranks: the processes of the run.
        hold: whether a fit may be discarded, so that a round's epochs are sent after the round.
    """

    def __init__(self, run: RunDirectory, tracker: Tracker | None, ranks: Ranks, hold: bool) -> None:
        self._run = run
        self._ranks = ranks
        self._display = Display()
        self._tracker = Tracking(run, tracker, self.note, hold)
        self._tracking = False

    def note(self, text: str) -> None:
        """Show a note that the user should read although nothing is lost."""
        if self._ranks.is_zero:
            self._display.note(text)

    def start(self, title: str, records: list[RoundRecord], finished: bool) -> None:
        """Report that the run begins or resumes.

        Args:
            title: description of the run.
            records: records of the finished rounds.
            finished: whether no round is left.

        Raises:
            UserError: the tracker cannot start.
        """
        if not self._ranks.is_zero:
            return
        self._tracking = not finished or not self._tracker.finished
        if self._tracking:
            self._tracker.start(records)
        if finished:
            self._display.already_finished(self._run.path)
        else:
            self._display.start(title, records)

    def callbacks(self, round: int, last_round: int) -> list[Callback]:
        """Return the callbacks with which the Trainer of a round reports its epochs."""
        shown = [RoundProgress(round, last_round)] if self._ranks.is_zero else []
        return [self._tracker.callback(), *shown]

    def logger(self, round: int, rows: Sequence[dict[str, float]]) -> Logger:
        """Return the logger of a round's Trainer; other processes get a dummy, because some callbacks need a logger.

        Args:
            round: k.
            rows: log of the interrupted fit that is resumed.
        """
        return self._tracker.logger(round, rows) if self._ranks.is_zero else DummyLogger()

    def queried(self, round: int, index: Tensor, model: MSALClassifier, trainer: Any) -> None:
        """Report that a query has ended; its round is not recorded yet."""
        self._ranks.on_zero(lambda: self._tracker.queried(round, index, model, trainer))

    def commit(self, record: RoundRecord) -> None:
        """Record a round; from this instant it counts. The next start repeats any step that a kill leaves undone.

        Raises:
            UserError: the record cannot be written.
        """
        self._ranks.on_zero(lambda: self._commit(record))

    def _commit(self, record: RoundRecord) -> None:
        self._run.commit(record)
        kill_point("after the record")
        self._tracker.log_round(record)
        self._display.round(record)

    def waiting(self, waiting: AwaitingLabels) -> None:
        """Report that the run ends here until its pending images are labeled."""
        kill_point("before it says that it waits")
        if not self._ranks.is_zero:
            return
        if waiting.record is not None:
            self._display.round(waiting.record)
        self._display.waiting(waiting, self._run.open_batches()[1:])

    def finish(self, records: list[RoundRecord]) -> None:
        """Report that all rounds are finished."""
        if not self._ranks.is_zero:
            return
        kill_point("before the end is told")
        if self._tracking:
            name = accuracy_name(records).replace(" ", "_")
            first = last_segment(records)[0].round  # W&B says of which rounds AUBC is, if classes were merged or split
            since = {"AUBC_from_round": float(first)} if first else {}
            self._tracker.finish({"AUBC": aubc(records), name: records[-1].accuracy, **since})
        self._display.finish(records, self._run)

    def close(self) -> None:
        """Release everything when the process ends for any reason; a later process resumes."""
        self._tracker.close()
