"""How far each cell has come, read from the records on disk: the same for every executor."""

from dataclasses import dataclass, field
from typing import Literal

from msal_lightning.errors import UserError
from msal_lightning.runs.records import read_records
from msal_lightning.sweep.jobs import Job

State = Literal["waiting", "running", "done", "failed", "stopped"]


@dataclass
class Progress:
    """Of one cell.

    Attributes:
        job: the cell.
        state: what it does.
        rounds: recorded.
        labels: that the model of the last one was trained on.
        accuracy: of it.
        seconds: that all of them took.
        before: done by an earlier sweep.
        why: it failed.
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
        """Of the cell."""
        return self.job.cell.name

    def look(self) -> None:
        """Read what has been recorded since the last time."""
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
