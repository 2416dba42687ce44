"""Everyone who is told of a run: its files, a tracker, the screen."""

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
from msal_lightning.runs.records import RoundRecord, aubc
from msal_lightning.tracking import Tracker, Tracking
from msal_lightning.training.distributed import Ranks


class Observers:
    """Tells files, tracker and screen of a run; the first process speaks, the others are silent.

    Args:
        run: keeps the records.
        tracker: shows the run elsewhere; None: files only.
        ranks: the processes of the run.
        hold: a fit may be thrown away, so a round's epochs are sent when the round has ended.
    """

    def __init__(self, run: RunDirectory, tracker: Tracker | None, ranks: Ranks, hold: bool) -> None:
        self._run = run
        self._ranks = ranks
        self._display = Display()
        self._tracker = Tracking(run, tracker, self.note, hold)
        self._tracking = False

    def note(self, text: str) -> None:
        """Show something that the user should know, though nothing is lost."""
        if self._ranks.is_zero:
            self._display.note(text)

    def start(self, title: str, records: list[RoundRecord], finished: bool) -> None:
        """The run begins, or is resumed.

        Args:
            title: says what runs.
            records: of the finished rounds.
            finished: no round is left.

        Raises:
            UserError: the tracker cannot begin.
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
        """What the Trainer of a round needs, so that they see its epochs."""
        shown = [RoundProgress(round, last_round)] if self._ranks.is_zero else []
        return [self._tracker.callback(), *shown]

    def logger(self, round: int, rows: Sequence[dict[str, float]]) -> Logger:
        """The logger of a round's Trainer; on other processes a stand-in, which some callbacks need.

        Args:
            round: k.
            rows: what the interrupted fit that is resumed had logged.
        """
        return self._tracker.logger(round, rows) if self._ranks.is_zero else DummyLogger()

    def queried(self, round: int, index: Tensor, model: MSALClassifier, trainer: Any) -> None:
        """A query has ended, and its round is not recorded yet."""
        self._ranks.on_zero(lambda: self._tracker.queried(round, index, model, trainer))

    def commit(self, record: RoundRecord) -> None:
        """Record a round: from here on it counts. Whatever a kill leaves undone before or after it is done again.

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
        """The run ends here until a person has labeled what it asks for."""
        kill_point("before it says that it waits")
        if not self._ranks.is_zero:
            return
        if waiting.record is not None:
            self._display.round(waiting.record)
        self._display.waiting(waiting)

    def finish(self, records: list[RoundRecord]) -> None:
        """All rounds are done."""
        if not self._ranks.is_zero:
            return
        kill_point("before the end is told")
        if self._tracking:
            name = accuracy_name(records).replace(" ", "_")
            self._tracker.finish({"AUBC": aubc(records), name: records[-1].accuracy})
        self._display.finish(records, self._run)

    def close(self) -> None:
        """The process ends, whatever for; a later one resumes."""
        self._tracker.close()
