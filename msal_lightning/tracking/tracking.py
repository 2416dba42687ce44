"""Reports a run to its files and to a tracker, whose failure or delay does not harm the run."""

from collections.abc import Callable, Sequence
from functools import partial

from lightning.pytorch import Callback, Trainer
from lightning.pytorch.loggers import Logger
from lightning.pytorch.loggers.logger import DummyLogger
from torch import Tensor

from msal_lightning.errors import UserError
from msal_lightning.models.classifier import MSALClassifier
from msal_lightning.runs.directory import RunDirectory
from msal_lightning.runs.records import RoundRecord
from msal_lightning.tracking.background import Background
from msal_lightning.tracking.base import Epoch, Tracker
from msal_lightning.training.fit_log import EndOfEpochs, FitLog, Row, read_fit_epochs

_FIRST_START = 120.0  # seconds; W&B itself gives up after 90
_END = 45.0  # seconds for the remaining calls at the end of a run; W&B gives up after 30
_EARLY_END = 15.0  # seconds; SLURM kills 30 seconds after its signal


class Tracking:
    """Writes ``fits/KKK/metrics.csv`` and keeps a tracker up to date, during the whole loop.

    The tracker runs in a separate thread. After its first error this process shows one note and calls it no more; the
    next start of the run sends the missing values, read from the records and from ``fits/``.

    Args:
        run: the run directory.
        tracker: the tracker; None writes files only.
        note: shows a sentence to the user.
        hold: send a round's epochs only after the round has ended, because a diverging fit is discarded.
    """

    def __init__(
        self, run: RunDirectory, tracker: Tracker | None, note: Callable[[str], None], hold: bool = False
    ) -> None:
        self._run = run
        self._tracker = tracker
        self._note = note
        self._hold = hold
        self._background = Background()
        self._running = False
        self._noted: set[str] = set()
        self._first_epoch = self._first_step = 0  # of the round in progress, over the whole run
        self._fit: list[list[Row]] = []  # its epochs so far
        self._sent = 0  # number of these epochs sent

    def start(self, records: Sequence[RoundRecord]) -> None:
        """Begin, and send the tracker everything that it lacks.

        Args:
            records: records of the finished rounds.

        Raises:
            UserError: the tracker cannot begin, and no earlier start of this run could.
        """
        self._background = Background()
        self._noted.clear()
        self._first_epoch = self._first_step = 0
        if tracker := self._tracker:
            begun_before = tracker.started
            self._background.do(tracker.start)
            if not begun_before:
                self._check_first_start(tracker, self._background.wait(_FIRST_START))
        self._running = True
        for record in records:
            self._fit = read_fit_epochs(self._run.path, record.round, record.metrics)
            self._end_round(record)

    def _check_first_start(self, tracker: Tracker, answered: bool) -> None:
        error = self._background.error
        if isinstance(error, UserError):
            raise error
        if error or not answered:
            why = _reason(error) if error else f"no answer within {_FIRST_START:.0f} s"
            raise UserError(f"logger {tracker.name} cannot start ({why}): correct that, or set logger to csv")

    def logger(self, round: int, rows: Sequence[Row] = ()) -> FitLog:
        """Return the logger of one round's Trainer.

        Args:
            round: number of the round.
            rows: values that the resumed fit has logged before; empty for a new fit.
        """
        self._fit, self._sent = [], 0
        return FitLog(self._run.path, round, rows, partial(self._log_epoch, round), self._lose_file, self._offered)

    def callback(self) -> Callback:
        """Return the callback that a Trainer with :meth:`logger` needs."""
        return EndOfEpochs()

    def queried(self, round: int, queried: Tensor, model: MSALClassifier, trainer: Trainer) -> None:
        """Pass the queried images to the tracker before the round's record is written, see :meth:`Tracker.queried`."""
        if self._tracker:
            try:
                self._tracker.queried(round, queried, model, trainer)
            except Exception as error:  # a failed table is no reason to lose a round
                self._say_once("queried", f"logger {self._tracker.name} gets no queried images ({_reason(error)})")

    def log_round(self, record: RoundRecord) -> None:
        """Add a point to the budget curve."""
        self._end_round(record)
        self._tell()

    def close(self) -> None:
        """Pause the tracker if the loop ends early; the next start resumes it. Does nothing after :meth:`finish`."""
        if self._tracker and self._running:
            self._end(self._tracker, self._tracker.pause, _EARLY_END)

    def finish(self, summary: dict[str, float]) -> None:
        """End the run with AUBC and final accuracy. Called once."""
        if self._tracker:
            self._end(self._tracker, partial(self._tracker.finish, summary), _END)

    @property
    def finished(self) -> bool:
        """Whether the whole run has been reported; True without a tracker."""
        return self._tracker is None or self._tracker.finished

    # ---------------------------------------------------------------- what is sent, and in which order

    def _log_epoch(self, round: int, rows: list[Row]) -> None:
        self._fit.append(rows)
        if not self._hold:
            self._send_fit(round)

    def _send_fit(self, round: int) -> None:
        for number, rows in enumerate(self._fit[self._sent :], self._first_epoch + self._sent):
            moved = [
                row | {"step": self._first_step + int(row["step"])} | ({"epoch": number} if "epoch" in row else {})
                for row in rows
            ]
            if tracker := self._tracker:
                self._background.do(partial(_send_epoch, tracker, Epoch(number, round, moved)))
        self._sent = len(self._fit)

    def _end_round(self, record: RoundRecord) -> None:
        self._send_fit(record.round)
        if tracker := self._tracker:
            self._background.do(partial(_send_round, tracker, record))
        self._first_epoch += len(self._fit)
        self._first_step += max((int(row["step"]) + 1 for rows in self._fit for row in rows), default=0)
        self._fit, self._sent = [], 0

    def _end(self, tracker: Tracker, last: Callable[[], None], seconds: float) -> None:
        self._running = False
        self._background.do(last)
        if not self._background.wait(seconds):
            self._say_once(tracker.name, self._failed(tracker, f"no answer within {seconds:.0f} s"))
        self._tell()

    # ---------------------------------------------------------------- what has failed

    def _tell(self) -> None:
        if self._tracker and (error := self._background.error):
            self._say_once(self._tracker.name, self._failed(self._tracker, _reason(error)))

    def _failed(self, tracker: Tracker, why: str) -> str:
        return (
            f"logger {tracker.name} failed ({why}): nothing is lost, the files of the run are complete, and the next "
            "start of the same command sends what is missing"
        )

    def _lose_file(self, why: str) -> None:
        self._say_once("fits", f"cannot write the losses into '{self._run.path / 'fits'}' ({why}): the run continues")

    def _say_once(self, what: str, sentence: str) -> None:
        if what not in self._noted:
            self._noted.add(what)
            self._note(sentence)

    def _offered(self) -> Logger | None:
        """Return the logger for callbacks: a dummy before the tracker runs and after it has failed."""
        if self._tracker is None:
            return None
        return (None if self._background.error else self._tracker.logger) or DummyLogger()


def _send_epoch(tracker: Tracker, epoch: Epoch) -> None:
    if epoch.number >= tracker.epochs:
        tracker.log_epoch(epoch)
        tracker.epochs = epoch.number + 1


def _send_round(tracker: Tracker, record: RoundRecord) -> None:
    if record.round >= tracker.rounds:
        tracker.log_round(record)
        tracker.rounds = record.round + 1


def _reason(error: Exception) -> str:
    """Return the first line of an error, or its type if it has no text."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
