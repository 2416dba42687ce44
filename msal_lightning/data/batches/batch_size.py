"""The meaning of ``data.batch_size`` on several devices, and keys that run directories of older versions lack."""

from collections.abc import Mapping
from typing import Any, Final

from msal_lightning.errors import DataError

PER_DEVICE = "data.init_args.batch_size_per_device"
LAST_BATCH = "data.init_args.last_batch"
FORMER_LAST_BATCH: Final = "keep"
"""How versions without the key cut an epoch into batches."""


def check_batch_size(batch_size: int, per_device: bool, processes: int) -> None:
    """Refuse a batch that the processes cannot share evenly.

    Raises:
        DataError: the number of processes does not divide the batch, or leaves one image to each of them.
    """
    if per_device or (batch_size % processes == 0 and batch_size >= 2 * processes) or processes == 1:
        return
    nearest = max(2, round(batch_size / processes)) * processes
    raise DataError(
        f"expected data.batch_size to be a multiple of {processes} processes with at least 2 images for each, got "
        f"{batch_size}: set it to {nearest}, or set data.batch_size_per_device to true"
    )


def say_batch_size(batch_size: int, per_device: bool, processes: int, sync_batchnorm: bool) -> str:
    """One line about a training step on several devices."""
    share, total = (batch_size, batch_size * processes) if per_device else (batch_size // processes, batch_size)
    if sync_batchnorm:
        normalized = f"BatchNorm uses all {total} (trainer.sync_batchnorm)"
    else:
        normalized = f"BatchNorm uses the {share} of its device (set trainer.sync_batchnorm to use all {total})"
    return f"batches of {total} images, {share} on each of {processes} devices; {normalized}"


def began_without(key: str, written: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Return whether a run directory is from before a key existed.

    Args:
        key: one of the keys above.
        written: flattened configuration that the directory has; empty for a new one.
        now: flattened configuration of the command; a data class of one's own may not have the key.
    """
    return bool(written) and key not in written and key in now


def without_key(config: dict[str, Any], key: str) -> dict[str, Any]:
    """Return a configuration as it was before one of the keys above existed."""
    data = config.get("data")
    if not isinstance(data, dict) or not isinstance(data.get("init_args"), dict):
        return config
    options = {name: value for name, value in data["init_args"].items() if name != key.rpartition(".")[2]}
    return {**config, "data": {**data, "init_args": options}}


def only_where_it_matters(config: Mapping[str, Any], alone: bool) -> dict[str, Any]:
    """Return a flattened configuration that has batch_size_per_device only where it has an effect, for comparing runs.

    Args:
        config: flattened, of a run directory of any age.
        alone: one process trained the run.
    """
    rest = {key: value for key, value in config.items() if key != PER_DEVICE}
    return rest if alone else {**rest, PER_DEVICE: config.get(PER_DEVICE, True)}


def as_it_began(data: dict[str, Any]) -> dict[str, Any]:
    """Return the ``data`` of a run's configuration with the value that a version without ``last_batch`` stood for.

    Args:
        data: class and options; a data class of one's own stays as it is, because it may not have the option.
    """
    options = data.get("init_args")
    if not isinstance(options, dict) or not str(data.get("class_path")).startswith("msal_lightning."):
        return data
    return {**data, "init_args": {"last_batch": FORMER_LAST_BATCH, **options}}
