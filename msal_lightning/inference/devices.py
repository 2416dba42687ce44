"""Where a model runs, by the name of the device."""

import torch

from msal_lightning.errors import ConfigError


def device_of(name: str | torch.device, option: str) -> torch.device:
    """Return the device of a name.

    Args:
        name: ``auto`` for a GPU if there is one, or a name of torch: ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
        option: option that names it, for messages.

    Raises:
        ConfigError: there is no such device.
    """
    there = {
        "cuda": torch.cuda.device_count() if torch.cuda.is_available() else 0,
        "mps": int(torch.backends.mps.is_available()),
        "cpu": 1,
    }
    if name == "auto":
        return torch.device(next(kind for kind, count in there.items() if count))
    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("meta")
    if (device.index or 0) >= there.get(device.type, 0):
        found = ", ".join(kind for kind, count in there.items() if count)
        raise ConfigError(
            f"expected {option} to be a device of this machine ({found}), got '{name}': choose one, or auto"
        )
    return device
