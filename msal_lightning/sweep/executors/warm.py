"""Cells on this machine in processes that stay, for fits of a few seconds."""

import json
import os
import selectors
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from msal_lightning.sweep.executors.base import Executor, Task
from msal_lightning.sweep.executors.local import check_jobs, share

_MOST_FITS = 200  # of a process, after which a fresh one takes over: no library is free of leaks


class WarmExecutor(Executor):
    """Runs one cell after another in each of a few processes, which import torch only once.

    A process that a cell crashes fails that cell only; the next cell gets a new process.

    Args:
        jobs: number of processes.

    Raises:
        ConfigError: ``jobs`` is below 1.
    """

    def __init__(self, jobs: int) -> None:
        check_jobs(jobs)
        self.room = jobs
        self._workers: list[_Worker | None] = [None] * jobs

    def start(self, tasks: Sequence[Task]) -> None:  # noqa: D102
        for task in tasks:
            slot = next(k for k, worker in enumerate(self._workers) if worker is None or worker.task is None)
            worker = self._workers[slot]
            if worker is None:
                worker = self._workers[slot] = _Worker.start(share(slot, len(self._workers), os.environ))
            worker.give(task)

    def ended(self) -> dict[str, int]:  # noqa: D102
        codes = {}
        for slot, worker in enumerate(self._workers):
            if worker is None or worker.task is None or (code := worker.code()) is None:
                continue
            codes[worker.task.name] = code
            worker.task = None
            if worker.process.poll() is not None or worker.num_fits >= _MOST_FITS:
                worker.end()
                self._workers[slot] = None
        return codes

    def wait(self, seconds: float) -> None:
        """Wait until a cell ends, at most so long."""
        with selectors.DefaultSelector() as selector:
            for worker in self._workers:
                if worker is not None and worker.task is not None:
                    selector.register(worker.results, selectors.EVENT_READ)
            selector.select(seconds)

    def stop(self, signum: int) -> None:  # noqa: D102
        for worker in self._workers:
            if worker is not None and worker.task is not None:
                worker.process.send_signal(signum)

    def close(self) -> None:  # noqa: D102
        for worker in self._workers:
            if worker is not None:
                worker.end()


@dataclass
class _Worker:
    """A process that waits for cells.

    Attributes:
        process: its input takes cells, and its end ends the process.
        results: file descriptor from which the exit code of each cell comes, a line each; it ends with the process.
        task: the cell that it runs.
        num_fits: number of cells that it was given.
    """

    process: "subprocess.Popen[bytes]"
    results: int
    task: Task | None = None
    num_fits: int = 0

    @classmethod
    def start(cls, environment: dict[str, str]) -> "_Worker":
        results, write = os.pipe()
        process = subprocess.Popen(
            [sys.executable, "-m", "msal_lightning.cli.workers.warm_worker", str(write)],
            stdin=subprocess.PIPE,
            pass_fds=[write],
            env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
            process_group=0,  # the sweep passes Ctrl-C on, once
        )
        os.close(write)
        os.set_blocking(results, False)
        return cls(process, results)

    def give(self, task: Task) -> None:
        assert self.process.stdin is not None
        task.log.parent.mkdir(parents=True, exist_ok=True)
        self.task, self.num_fits = task, self.num_fits + 1
        line = json.dumps({"arguments": task.arguments, "log": str(task.log)})
        try:
            self.process.stdin.write(f"{line}\n".encode())
            self.process.stdin.flush()
        except BrokenPipeError:  # the process has died since; code() says so
            pass

    def code(self) -> int | None:
        """Return the exit code of the cell; None while it runs."""
        try:
            line = os.read(self.results, 64)
        except BlockingIOError:
            return None
        return int(line) if line else self.process.wait() or 1  # 0 without a result: it ended itself

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        if self.process.stdin:
            self.process.stdin.close()
        os.close(self.results)
