"""Cells as array jobs of SLURM, submitted through submitit."""

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from msal_lightning.errors import ConfigError
from msal_lightning.io.atomic import write_atomically
from msal_lightning.sweep.executors.base import Executor, Task, start_fit


class SlurmExecutor(Executor):
    """Submits the cells that can start at the same time as one array job; its nodes share the folder of the sweep.

    Args:
        folder: folder for submitit's scripts and logs.
        cpus: cores per fit.
        gpus: GPUs per fit.
        more: parameters of submitit's AutoExecutor, ``timeout_min`` or ``slurm_partition`` for example.
        cluster: slurm; local and debug run on this machine, for tests.

    Raises:
        ConfigError: submitit is not installed, there is no SLURM here, or submitit does not know a parameter.
    """

    def __init__(
        self, folder: Path, cpus: int, gpus: float, more: dict[str, Any], cluster: str | None = "slurm"
    ) -> None:
        try:
            import submitit
        except ImportError:
            raise ConfigError(
                "--executor slurm needs submitit, which is not installed: run "
                "`python -m pip install 'msal_lightning[slurm]'`, or use --executor local"
            ) from None
        try:
            self._executor: Any = submitit.AutoExecutor(folder=folder, cluster=cluster)
            given = {"cpus_per_task": cpus, "gpus_per_node": int(gpus), "timeout_min": 24 * 60} | more
            self._executor.update_parameters(**given)
        except (RuntimeError, NameError, TypeError, ValueError) as error:
            raise ConfigError(f"--executor slurm cannot submit ({str(error).splitlines()[0]}): see --slurm") from None
        self._cpus = cpus
        self._ids = folder / "jobs"
        if self._ids.exists():  # the jobs of a killed sweep would run beside ours
            subprocess.run(["scancel", *self._ids.read_text().split()], check=False)
            self._ids.unlink()
        self._jobs: dict[str, Any] = {}

    def start(self, tasks: Sequence[Task]) -> None:  # noqa: D102
        with self._executor.batch():
            jobs = [self._executor.submit(run_task, task, {"OMP_NUM_THREADS": str(self._cpus)}) for task in tasks]
        self._jobs.update(zip((task.name for task in tasks), jobs, strict=True))
        write_atomically(self._ids, "\n".join(job.job_id for job in self._jobs.values()))

    def ended(self) -> dict[str, int]:  # noqa: D102
        done = [name for name, job in self._jobs.items() if job.done()]
        return {name: self._code(self._jobs.pop(name)) for name in done}

    def stop(self, signum: int) -> None:  # noqa: D102
        for job in self._jobs.values():
            job.cancel(check=False)

    def close(self) -> None:
        """Cancel all jobs; they would otherwise run beside those of the next sweep."""
        self.stop(0)
        self._ids.unlink(missing_ok=True)

    def _code(self, job: Any) -> int:
        try:
            return int(job.result())
        except Exception:  # the log says what happened to the job
            return 1


def run_task(task: Task, environment: dict[str, str]) -> int:
    """Run one fit on a node, and return its exit code."""
    return start_fit(task, environment).wait()
