"""What a tracker is told of a run."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.loggers import Logger
from torch import Tensor

from msal_lightning.models.classifier import MSALClassifier
from msal_lightning.runs.records import RoundRecord
from msal_lightning.runs.tables import curve_row
from msal_lightning.training.fit_log import Row


@dataclass(frozen=True)
class Epoch:
    """What one epoch of a run logged.

    Attributes:
        number: of the epochs of the whole run, from 0.
        round: whose fit it belongs to.
        rows: in the order in which they were logged; ``epoch`` and ``step`` count over the whole run.
    """

    number: int
    round: int
    rows: Sequence[Row]


class Tracker(ABC):
    """Shows a run somewhere else. The run does not depend on it: the files of the run directory are complete.

    Each method may raise whatever it likes, and may take its time: :class:`~msal_lightning.tracking.Tracking` calls
    all but :meth:`queried` in a thread of their own, one after the other, and stops calling at the first error.

    Attributes:
        epochs: how many epochs it has been told of, over all starts; :meth:`start` finds it out.
        rounds: how many rounds, likewise.
    """

    name = "tracker"
    epochs = 0
    rounds = 0

    @abstractmethod
    def start(self) -> None:
        """Begin, or resume what an earlier start of the same run began.

        Raises:
            UserError: it cannot begin; the message names the remedies.
        """

    @abstractmethod
    def log_epoch(self, epoch: Epoch) -> None:
        """Add the losses of an epoch."""

    @abstractmethod
    def log_round(self, record: RoundRecord) -> None:
        """Add a point to the budget curve."""

    def pause(self) -> None:
        """Called instead of :meth:`finish` where the loop ends early; a later process resumes."""

    def finish(self, summary: dict[str, float]) -> None:
        """Called once at the end of the run, with AUBC and final accuracy."""

    def queried(self, round: int, queried: Tensor, model: MSALClassifier, trainer: Trainer) -> None:
        """Called before a round's record is written, with the model that queried.

        Args:
            round: k.
            queried: (b,) int64, dataset-absolute, best first.
            model: of the round.
            trainer: of the round.
        """

    @property
    def started(self) -> bool:
        """Whether an earlier start of the same run could begin; if so, an error of :meth:`start` is no mistake."""
        return False

    @property
    def finished(self) -> bool:
        """Whether it has been told of the whole run, to its end."""
        return True

    @property
    def logger(self) -> Logger | None:
        """What callbacks find behind ``trainer.logger``; None where there is nothing, or not yet."""
        return None


def loop_row(record: RoundRecord) -> dict[str, Any]:
    """The budget curve's values at a round, as ``loop/*``, without those that are not known."""
    return {f"loop/{name}": value for name, value in curve_row(record).items() if value is not None}
