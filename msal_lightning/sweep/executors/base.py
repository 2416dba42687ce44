"""Where cells run."""

import os
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from msal_lightning.io.atomic import open_unlinked


@dataclass(frozen=True)
class Task:
    """A cell that is to run.

    Attributes:
        name: of the cell.
        arguments: of ``fit``.
        log: gets what it prints, behind what is there.
    """

    name: str
    arguments: tuple[str, ...]
    log: Path


class Executor(ABC):
    """Starts cells and says when they have ended.

    Attributes:
        room: cells that may be under way at once; None: as many as there are, the executor has a queue of its own.
    """

    room: int | None = None

    @abstractmethod
    def start(self, tasks: Sequence[Task]) -> None:
        """Begin them, or put them into the queue."""

    @abstractmethod
    def ended(self) -> dict[str, int]:
        """Exit codes of the cells that have ended since the last call, by name."""

    @abstractmethod
    def stop(self, signum: int) -> None:
        """Ask all that are under way to end gently, on the second call at once; :meth:`ended` tells when they have."""

    def close(self) -> None:
        """Called once at the end, however it comes."""


def start_fit(task: Task, environment: Mapping[str, str], watch: int = subprocess.PIPE) -> "subprocess.Popen[bytes]":
    """A process for one fit, which ends when this one does.

    Args:
        task: what runs, and where its output goes.
        environment: variables on top of this process's.
        watch: its standard input; its end is the end of the fit.
    """
    task.log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "msal_lightning.cli.sweep_worker", "fit", *task.arguments]
    with open(task.log, "ab", opener=open_unlinked) as log:
        return subprocess.Popen(
            command,
            stdin=watch,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
            process_group=0,  # Ctrl-C comes from the sweep, once
        )
