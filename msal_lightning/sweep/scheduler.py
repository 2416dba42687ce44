"""Runs the cells of a sweep; this file defines the order of events."""

import signal
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from msal_lightning.io.own_files import remove_own
from msal_lightning.sweep.display import SweepDisplay
from msal_lightning.sweep.executors.base import Executor, Task
from msal_lightning.sweep.jobs import Job, is_finished
from msal_lightning.sweep.progress import Progress
from msal_lightning.training.signals import Stopped

FILES = (r"first-fits/[0-9a-f]{16}-[^/]+\.ckpt", r"sweep\.json")
"""Files of a sweep besides its run directories and their logs, see :mod:`~msal_lightning.io.own_files`."""
_TICK = 0.2  # seconds between two looks at the cells


class Sweep:
    """Starts unfinished cells as soon as there is room; a failed cell does not stop the others.

    Among cells that train the same model in round 0, one starts first; the others start when its model exists.

    Args:
        jobs: the cells.
        executor: runs the cells.
        out: the folder of the sweep.
        display: shows the cells.
    """

    def __init__(self, jobs: Sequence[Job], executor: Executor, out: Path, display: SweepDisplay) -> None:
        self.executor = executor
        self.out = out
        self.display = display
        self._all = [Progress(job) for job in jobs]
        self._by_name = {progress.name: progress for progress in self._all}
        self._group_sizes = Counter(job.group for job in jobs)
        self._signum = 0  # the first one
        self._asked: list[int] = []  # not passed on yet

    def run(self) -> list[Progress]:
        """Run all cells to their end.

        Returns:
            The failed cells.

        Raises:
            Stopped: Ctrl-C or SIGTERM; the running cells have ended gently.
            UserError: a folder belongs to another configuration.
        """
        for progress in self._all:
            progress.look()
            if is_finished(progress.job):
                progress.state, progress.before = "done", True
        try:
            with self._signals(), self.display.live(self._all):
                while self._step():
                    self.executor.wait(_TICK)
        finally:
            self.executor.close()
        if self._signum:
            raise Stopped(
                self._signum, f"the sweep in {self.out}, {self._count('done')} of {len(self._all)} cells done"
            )
        return [progress for progress in self._all if progress.state == "failed"]

    def _step(self) -> bool:
        """Pass signals on, note ended cells and start new ones; return whether any cell is left."""
        while self._asked:
            self._pass_on(self._asked.pop(0))
        for name, code in self.executor.ended().items():
            self._note_end(self._by_name[name], code)
        for progress in self._all:
            if progress.state == "running":
                progress.look()
        if not self._signum:
            self._start()
        self._drop_first_fits()
        self.display.update(self._all)
        return bool(self._count("running")) or (bool(self._count("waiting")) and not self._signum)

    def _start(self) -> None:
        tasks: list[Task] = []
        running = self._count("running")
        for progress in self._all:
            if self.executor.room is not None and running + len(tasks) >= self.executor.room:
                break
            if progress.state == "waiting" and not self._waits_for_round_0(progress):
                progress.state = "running"
                tasks.append(self._task(progress.job))
        if tasks:
            self.executor.start(tasks)

    def _waits_for_round_0(self, progress: Progress) -> bool:
        group = progress.job.group
        if progress.rounds or self._shared_fit_file(group).exists():
            return False
        return any(p.state == "running" and not p.rounds and p.job.group == group for p in self._all)

    def _task(self, job: Job) -> Task:
        arguments = (*job.cell.arguments, "--run_dir", str(job.folder))
        if self._group_sizes[job.group] > 1:
            arguments = (*arguments, "--loop.first_fit", str(self._shared_fit_file(job.group)))
        return Task(job.cell.name, arguments, job.log)

    def _shared_fit_file(self, group: str) -> Path:
        return self.out / "first-fits" / f"{group}.ckpt"

    def _drop_first_fits(self) -> None:
        """Delete a shared model when round 0 of its whole group is recorded."""
        needed = {p.job.group for p in self._all if p.state in ("waiting", "running") and not p.rounds}
        for group in self._group_sizes.keys() - needed:
            self._shared_fit_file(group).unlink(missing_ok=True)
        if not needed and not self._signum:
            remove_own(self.out, FILES[:1])
            with suppress(OSError):  # somebody else's file is in it, or it is not there
                (self.out / "first-fits").rmdir()

    def _note_end(self, progress: Progress, code: int) -> None:
        progress.look()
        if code == 0:
            progress.state = "done"
        elif self._signum:
            progress.state = "stopped"
            return
        else:
            progress.state, progress.why = "failed", _last_line(progress.job.log) or f"it ended with exit code {code}"
            if code < 0:
                progress.why = f"it was ended by {signal.Signals(-code).name}"
        self.display.ended(progress, self._all)

    def _count(self, state: str) -> int:
        return sum(progress.state == state for progress in self._all)

    @contextmanager
    def _signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _stop(self, signum: int, frame: FrameType | None) -> None:
        self._asked.append(signum)  # a cell that is starting right now must receive it too

    def _pass_on(self, signum: int) -> None:
        again = bool(self._signum)
        self._signum = self._signum or signum
        if self._count("running"):
            self.display.stopping(signal.Signals(signum).name, self._count("running"), again)
        self.executor.stop(signum)


def _last_line(log: Path) -> str:
    try:
        lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines()]
    except OSError:
        return ""
    return next((line for line in reversed(lines) if line), "").removeprefix("error: ")
