"""Cells on a Ray cluster: an existing one, or one on this machine."""

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from msal_lightning.sweep.executors.base import Executor, Task, start_fit
from msal_lightning.training.gpu_memory import SHARE
from msal_lightning.training.ray_cluster import check_room, connect_ray, python_path


class RayExecutor(Executor):
    """Ray places the fits, and restarts them if a node is lost; they resume from their last checkpoint.

    RAY_ADDRESS names an existing cluster; its nodes share the folder of the sweep. Without it, Ray runs on this machine
    during the sweep.

    Args:
        stop: file in the folder of the sweep; the fits end when it exists.
        cpus: cores per fit.
        gpus: GPUs per fit; a fraction shares a GPU, and its memory in this proportion.

    Raises:
        ConfigError: Ray is not installed, or there is no cluster at RAY_ADDRESS.
    """

    def __init__(self, stop: Path, cpus: int, gpus: float) -> None:
        self._ray: Any = connect_ray("--executor", "local")
        check_room(self._ray, cpus, gpus)
        # a failed fit ends its task without an exception, so that Ray retries only after a lost node or worker
        self._run = self._ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=-1)(run_task)
        self._limits = {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(cpus))}
        if 0 < gpus < 1:
            self._limits[SHARE] = str(gpus)
        self._under_way: dict[Any, str] = {}
        self._asked = False
        self._stop = stop
        self._stop.unlink(missing_ok=True)

    def start(self, tasks: Sequence[Task]) -> None:  # noqa: D102
        for task in tasks:
            reference = self._run.options(name=task.name).remote(
                task, self._limits, str(Path.cwd()), python_path(), str(self._stop)
            )
            self._under_way[reference] = task.name

    def ended(self) -> dict[str, int]:  # noqa: D102
        if not self._under_way:
            return {}
        done, _ = self._ray.wait(list(self._under_way), num_returns=len(self._under_way), timeout=0)
        return {self._under_way.pop(reference): self._code(reference) for reference in done}

    def stop(self, signum: int) -> None:  # noqa: D102
        # Ray cannot interrupt a task that waits for a process, so running tasks look for a file
        self._stop.touch()
        if self._asked:
            for reference in self._under_way:
                self._ray.cancel(reference, force=True)
        self._asked = True

    def close(self) -> None:  # noqa: D102
        self._ray.shutdown()

    def _code(self, reference: Any) -> int:
        try:
            return int(self._ray.get(reference))
        except self._ray.exceptions.RayError as error:
            return 130 if isinstance(error, self._ray.exceptions.TaskCancelledError) else 1


def run_task(task: Task, environment: dict[str, str], folder: str, paths: str, stop: str) -> int:
    """Run one fit on a node; it ends gently if the file ``stop`` exists, and at once if this process ends.

    Returns:
        Its exit code.
    """
    os.chdir(folder)
    process, asked = start_fit(task, environment | {"PYTHONPATH": paths}), False
    while (code := process.poll()) is None:
        if not asked and Path(stop).exists():
            process.send_signal(signal.SIGTERM)
            asked = True
        time.sleep(0.2)
    return code
