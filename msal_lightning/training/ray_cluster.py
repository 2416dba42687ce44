"""A Ray cluster: an existing one, or one on this machine."""

import logging
import os
from pathlib import Path
from typing import Any

from msal_lightning.errors import ConfigError


def connect_ray(option: str, instead: str) -> Any:
    """Connect to the cluster at RAY_ADDRESS, or start Ray on this machine until ``ray.shutdown``.

    Args:
        option: the user's option that asks for Ray.
        instead: its value without Ray.

    Returns:
        The module ``ray``.

    Raises:
        ConfigError: Ray is not installed, or there is no cluster at RAY_ADDRESS.
    """
    try:
        import ray
    except ImportError:
        raise ConfigError(
            f"{option} ray needs Ray, which is not installed: run "
            f"`python -m pip install 'msal_lightning[ray]'`, or use {option} {instead}"
        ) from None
    try:
        ray.init(
            address="auto" if os.environ.get("RAY_ADDRESS") else "local",
            log_to_driver=False,
            logging_level=logging.ERROR,
            include_dashboard=False if not os.environ.get("RAY_ADDRESS") else None,
        )
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ConfigError(
            f"{option} ray cannot reach a cluster at RAY_ADDRESS ({str(error).splitlines()[0]}): start it with "
            "`ray start --head`, or unset RAY_ADDRESS"
        ) from None
    return ray


def check_room(ray: Any, cpus: int, gpus: float) -> None:
    """Check that some node can hold a task; leave the cluster if none can.

    Args:
        ray: the module, see :func:`connect_ray`.
        cpus: cores of a task.
        gpus: GPUs of a task, or a fraction.

    Raises:
        ConfigError: no node has as many.
    """
    for name, wanted in (("CPU", cpus), ("GPU", gpus)):
        most = max((node["Resources"].get(name, 0) for node in ray.nodes() if node["Alive"]), default=0)
        if wanted > most:
            ray.shutdown()
            raise ConfigError(
                f"expected --{name.lower()}s to be at most {most:g}, what the largest node of the Ray cluster has, "
                f"got {wanted:g}"
            )


def python_path() -> str:
    """Return the PYTHONPATH with which nodes find the same modules as this process, even an uninstalled checkout."""
    package = str(Path(__file__).parents[2])
    return os.pathsep.join(dict.fromkeys([package, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]))
