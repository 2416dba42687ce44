"""The interface of executors, which run cells."""

import os
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from msal_lightning.io.atomic import open_unlinked


@dataclass(frozen=True)
class Task:
    """A cell to run.

    Attributes:
        name: name of the cell.
        arguments: arguments of ``fit``.
        log: file to which the output is appended.
    """

    name: str
    arguments: tuple[str, ...]
    log: Path


class Executor(ABC):
    """Starts cells and reports when they have ended.

    Attributes:
        room: largest number of cells that run at once; None if the executor has its own queue.
    """

    room: int | None = None

    @abstractmethod
    def start(self, tasks: Sequence[Task]) -> None:
        """Start the tasks, or queue them."""

    @abstractmethod
    def ended(self) -> dict[str, int]:
        """Return the exit codes, by name, of the cells that have ended since the last call."""

    def wait(self, seconds: float) -> None:
        """Wait until it is time to look at the cells again.

        Args:
            seconds: at most so long.
        """
        time.sleep(seconds)

    @abstractmethod
    def stop(self, signum: int) -> None:
        """End all running cells gently, or at once on the second call; :meth:`ended` reports when they have ended."""

    def close(self) -> None:
        """Clean up. Called once, however the sweep ends."""


def start_fit(task: Task, environment: Mapping[str, str], watch: int = subprocess.PIPE) -> "subprocess.Popen[bytes]":
    """Start a process for one fit; it ends when this process ends.

    Args:
        task: the cell, and the file for its output.
        environment: variables in addition to those of this process.
        watch: its standard input; the fit ends when the input ends.
    """
    task.log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "msal_lightning.cli.workers.sweep_worker", "fit", *task.arguments]
    with open(task.log, "ab", opener=open_unlinked) as log:
        return subprocess.Popen(
            command,
            stdin=watch,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
            process_group=0,  # the sweep passes Ctrl-C on, once
        )
