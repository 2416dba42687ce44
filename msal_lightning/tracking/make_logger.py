"""Make a Lightning logger from its configuration, with the same version in every start of a run."""

import importlib
import inspect
from typing import Any

from jsonargparse import Namespace
from lightning.pytorch.cli import instantiate_class
from lightning.pytorch.loggers import Logger

from msal_lightning.errors import ConfigError
from msal_lightning.runs.directory import RunDirectory
from msal_lightning.tracking.lightning_logger import read_state

_VERSION_OPTIONS = ("version", "run_id", "experiment_key", "id")
"""Names that loggers give to the option that resumes a ``version``."""


def make_logger(config: Namespace, run: RunDirectory) -> Logger:
    """Make the logger, with the version that an earlier start of the run used.

    Args:
        config: ``class_path`` and ``init_args``.
        run: the run directory.

    Raises:
        ConfigError: the logger cannot be made, because a package is missing for example.
    """
    module, _, name = config.class_path.rpartition(".")
    options: dict[str, Any] = config.get("init_args", Namespace()).as_dict()  # type: ignore[no-untyped-call]
    try:
        if not run.overwrite and (version := read_state(run.path, name).get("version")) is not None:
            takes = inspect.signature(getattr(importlib.import_module(module), name)).parameters
            option = next((option for option in _VERSION_OPTIONS if option in takes), None)
            if option and options.get(option) is None:
                options[option] = version
        logger: Logger = instantiate_class((), {"class_path": config.class_path, "init_args": options})
    except Exception as error:  # a logger's constructor may raise anything
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise ConfigError(f"logger {name} cannot be made ({reason[0]}): correct that, or set logger to csv") from None
    return logger
