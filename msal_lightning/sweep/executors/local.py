"""Cells on this machine, each in a process of its own."""

import os
import subprocess
from collections.abc import Mapping, Sequence

from msal_lightning.errors import ConfigError
from msal_lightning.sweep.executors.base import Executor, Task, start_fit
from msal_lightning.training.gpu_memory import SHARE


class LocalExecutor(Executor):
    """Runs each cell in its own process, which no other one can crash.

    The jobs divide threads and GPUs, and those on one GPU its memory.

    Args:
        jobs: number of processes at a time.

    Raises:
        ConfigError: ``jobs`` is below 1.
    """

    def __init__(self, jobs: int) -> None:
        check_jobs(jobs)
        self.room = jobs
        self._running: dict[str, tuple[int, subprocess.Popen[bytes]]] = {}  # name to slot and process

    def start(self, tasks: Sequence[Task]) -> None:  # noqa: D102
        for task in tasks:
            slot = min(set(range(self.room or 1)) - {slot for slot, _ in self._running.values()})
            self._running[task.name] = slot, start_fit(task, share(slot, self.room or 1, os.environ))

    def ended(self) -> dict[str, int]:  # noqa: D102
        codes = {name: process.poll() for name, (_, process) in self._running.items()}
        done = {name: code for name, code in codes.items() if code is not None}
        for name in done:
            _, process = self._running.pop(name)
            if process.stdin:
                process.stdin.close()
        return done

    def stop(self, signum: int) -> None:  # noqa: D102
        for _, process in self._running.values():
            process.send_signal(signum)

    def close(self) -> None:  # noqa: D102
        for _, process in self._running.values():
            process.kill()
            process.wait()


def check_jobs(jobs: int) -> None:
    """Reject a number of fits at a time that is not positive.

    Raises:
        ConfigError: it is below 1.
    """
    if jobs < 1:
        raise ConfigError(f"expected --jobs to be at least 1, got {jobs}: it is how many fits run at a time")


def share(slot: int, jobs: int, environment: Mapping[str, str]) -> dict[str, str]:
    """Return environment variables that limit a process to its part of the machine.

    Args:
        slot: number of the job, from 0.
        jobs: number of jobs at a time.
        environment: the user's variables; a given OMP_NUM_THREADS holds for each process.
    """
    variables = {}
    if "OMP_NUM_THREADS" not in environment:
        variables["OMP_NUM_THREADS"] = str(max(1, _cores() // jobs))
    gpus = _gpus(environment)
    if jobs > 1 and len(gpus) > 1:
        variables["CUDA_VISIBLE_DEVICES"] = ",".join(gpus[slot::jobs] or [gpus[slot % len(gpus)]])
    if not gpus and "CUDA_VISIBLE_DEVICES" not in environment:
        variables["CUDA_VISIBLE_DEVICES"] = ""  # or torch looks for GPUs at each step of each optimizer
    if gpus and jobs > len(gpus):
        variables[SHARE] = str(1 / len(range(slot % len(gpus), jobs, len(gpus))))  # slots that share this one's GPU
    return variables


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _gpus(environment: Mapping[str, str]) -> list[str]:
    if "CUDA_VISIBLE_DEVICES" in environment:
        return [gpu for gpu in environment["CUDA_VISIBLE_DEVICES"].split(",") if gpu.strip()]
    import torch

    return [str(k) for k in range(torch.cuda.device_count())]
