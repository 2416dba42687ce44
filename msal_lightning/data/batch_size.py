"""The meaning of ``data.batch_size`` on several devices: images of a training step, or of each device."""

from collections.abc import Mapping
from typing import Any

from msal_lightning.errors import DataError

KEY = "data.init_args.batch_size_per_device"


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


def was_per_device(written: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Return whether a run directory is from before the key existed, when the batch size applied to each device.

    Args:
        written: flattened configuration that the directory has; empty for a new one.
        now: flattened configuration of the command; a data class of one's own may not have the key.
    """
    return bool(written) and KEY not in written and KEY in now


def without_key(config: dict[str, Any]) -> dict[str, Any]:
    """A configuration as it was before the key existed."""
    data = config.get("data")
    if not isinstance(data, dict) or not isinstance(data.get("init_args"), dict):
        return config
    options = {key: value for key, value in data["init_args"].items() if key != KEY.rpartition(".")[2]}
    return {**config, "data": {**data, "init_args": options}}


def only_where_it_matters(config: Mapping[str, Any], alone: bool) -> dict[str, Any]:
    """A flattened configuration in which the key stands where it has an effect, so that runs can be compared.

    Args:
        config: flattened, of a run directory of any age.
        alone: one process trained the run.
    """
    rest = {key: value for key, value in config.items() if key != KEY}
    return rest if alone else {**rest, KEY: config.get(KEY, True)}
