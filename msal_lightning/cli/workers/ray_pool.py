"""Pool passes on a Ray cluster."""

from collections.abc import Callable
from typing import Any

from rich.progress import Progress

from msal_lightning.cli.workers.pool_worker import score_part
from msal_lightning.errors import UserError
from msal_lightning.io.console import shared_console
from msal_lightning.query.callback import PoolPart
from msal_lightning.query.pool_request import PoolRequest
from msal_lightning.training.ray_cluster import connect_ray, python_path

_WAIT = 0.2  # seconds between two looks at the parts


class RayParts:
    """Scores the parts of a pool on the cluster at RAY_ADDRESS, or on the cores of this machine.

    Ray repeats the parts of a lost node on another one. All nodes must find the data at the same paths.

    Raises:
        ConfigError: Ray is not installed, or there is no cluster at RAY_ADDRESS.
    """

    def __init__(self) -> None:
        self._ray: Any = connect_ray("--query_executor", "trainer")

    @property
    def num_cores(self) -> int:
        """Cores of the cluster."""
        return int(self._ray.cluster_resources().get("CPU", 1))

    def close(self) -> None:
        """Leave the cluster."""
        self._ray.shutdown()

    def __call__(self, request: PoolRequest, num_parts: int, check: Callable[[], None]) -> list[PoolPart]:
        """Score all parts.

        Args:
            request: the pool pass.
            num_parts: number of parts.
            check: raises if the run shall end.

        Raises:
            UserError: a process cannot read the data, for example.
        """
        ray, shared, console = self._ray, self._ray.put(request), shared_console()
        environment = {"env_vars": {"PYTHONPATH": python_path()}}
        task = ray.remote(
            num_cpus=1, num_gpus=int(request.accelerator == "cuda"), max_retries=-1, runtime_env=environment
        )(score_part)
        waiting = [task.remote(shared, part, num_parts) for part in range(num_parts)]
        found: list[PoolPart] = []
        with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
            bar = progress.add_task("scoring the pool", total=num_parts)
            try:
                while waiting:
                    done, waiting = ray.wait(waiting, num_returns=1, timeout=_WAIT)
                    found += ray.get(done)
                    progress.advance(bar, len(done))
                    check()
            except ray.exceptions.RayTaskError as error:
                raise (error.cause if isinstance(error.cause, UserError) else error) from None
            finally:
                for task in waiting:
                    ray.cancel(task)
        return found
