"""The interface of trackers."""

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
    """The values that one epoch of a run logged.

    Attributes:
        number: number of the epoch in the whole run, from 0.
        round: round of the fit.
        rows: logged values in their order; ``epoch`` and ``step`` count over the whole run.
    """

    number: int
    round: int
    rows: Sequence[Row]


class Tracker(ABC):
    """Shows a run in another place. The run does not depend on it: the files of the run directory are complete.

    Each method may raise any error and may take long: :class:`~msal_lightning.tracking.Tracking` calls all methods
    except :meth:`queried` one after the other in a separate thread, and stops at the first error.

    Attributes:
        epochs: number of epochs reported to the tracker over all starts; :meth:`start` sets it.
        rounds: number of rounds reported to the tracker over all starts; :meth:`start` sets it.
    """

    name = "tracker"
    epochs = 0
    rounds = 0

    @abstractmethod
    def start(self) -> None:
        """Begin, or resume what an earlier start of the same run began.

        Raises:
            UserError: the tracker cannot begin; the message names the remedies.
        """

    @abstractmethod
    def log_epoch(self, epoch: Epoch) -> None:
        """Add the losses of an epoch."""

    @abstractmethod
    def log_round(self, record: RoundRecord) -> None:
        """Add a point to the budget curve."""

    def pause(self) -> None:
        """End for now. Called instead of :meth:`finish` if the loop ends early; a later process resumes."""

    def finish(self, summary: dict[str, float]) -> None:
        """End the run with AUBC and final accuracy. Called once."""

    def queried(self, round: int, queried: Tensor, model: MSALClassifier, trainer: Trainer) -> None:
        """Receive a round's queried images and the model that queried them, before the round's record is written.

        Args:
            round: number of the round.
            queried: (b,) int64, dataset-absolute, best first.
            model: model of the round.
            trainer: trainer of the round.
        """

    @property
    def started(self) -> bool:
        """Whether an earlier start of the same run could begin; if so, an error of :meth:`start` ends no run."""
        return False

    @property
    def finished(self) -> bool:
        """Whether the whole run has been reported to the tracker."""
        return True

    @property
    def logger(self) -> Logger | None:
        """The logger that callbacks find as ``trainer.logger``; None if there is none, or none yet."""
        return None


def loop_row(record: RoundRecord) -> dict[str, Any]:
    """Return a round's known values of the budget curve, as ``loop/*``."""
    return {f"loop/{name}": value for name, value in curve_row(record).items() if value is not None}
