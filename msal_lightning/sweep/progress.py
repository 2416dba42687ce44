"""The progress of each cell, read from the records on disk: the same for every executor."""

from dataclasses import dataclass, field
from typing import Literal

from msal_lightning.errors import UserError
from msal_lightning.runs.records import read_records
from msal_lightning.sweep.jobs import Job

State = Literal["waiting", "running", "done", "failed", "stopped"]


@dataclass
class Progress:
    """The progress of one cell.

    Attributes:
        job: the cell.
        state: its state.
        rounds: number of recorded rounds.
        labels: number of labels in the last recorded round.
        accuracy: accuracy of the last recorded round.
        seconds: seconds of all recorded rounds.
        before: whether an earlier sweep finished it.
        why: reason of its failure.
    """

    job: Job
    state: State = "waiting"
    rounds: int = 0
    labels: int | None = None
    accuracy: float | None = None
    seconds: float = 0.0
    before: bool = False
    why: str = field(default="", repr=False)

    @property
    def name(self) -> str:
        """Name of the cell."""
        return self.job.cell.name

    def look(self) -> None:
        """Read the records that are new since the last call."""
        if len(list((self.job.folder / "rounds").glob("[0-9]*.json"))) == self.rounds:
            return
        try:
            records = read_records(self.job.folder)
        except UserError:  # fit says what is wrong
            return
        self.rounds = len(records)
        if records:
            self.labels, self.accuracy = records[-1].num_labeled, records[-1].accuracy
            self.seconds = sum(sum(record.seconds.values()) for record in records)
