"""Versions, device and threads of a round: equal environments give equal results, others nearly equal results."""

import platform
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lightning.pytorch import Trainer

COMPARED = ("msal_lightning", "lightning", "torch", "device", "precision", "processes", "threads")
"""Entries of an environment that may change the last digits of a result."""


def environment(trainer: "Trainer") -> dict[str, str]:
    """Return the machine and the library versions for a record."""
    import torch  # imported here, because `report` compares environments without torch

    packages = {name: _version(name) for name in ("msal_lightning", "lightning", "torch")}
    device = trainer.strategy.root_device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{device.type} ({platform.machine()})"
    return {
        "python": platform.python_version(),
        **packages,
        "device": name,
        "precision": str(trainer.precision),
        "processes": str(trainer.world_size),
        "threads": str(torch.get_num_threads()),
    }


@cache
def _version(package: str) -> str:
    return version(package)


def say_changed_environment(before: Mapping[str, str], now: Mapping[str, str]) -> str | None:
    """Return a line that names the differences; None if there are none.

    Args:
        before: environment of the last finished round; records of older versions lack some entries, which are not
            compared.
        now: environment of this process.
    """
    known = [key for key in COMPARED if key in before and key in now]
    changed = [f"{key} {before[key]} (now {now[key]})" for key in known if before[key] != now[key]]
    if not changed:
        return None
    return (
        f"the last round was trained with {', '.join(changed)}: the results may differ from those of an uninterrupted "
        "run"
    )


def say_mixed_environments(environments: Sequence[Mapping[str, str]]) -> str | None:
    """Return a sentence that names the differences among compared rounds; None if there are none."""
    values = {key: sorted({found[key] for found in environments if key in found}) for key in COMPARED}
    mixed = [f"{key} ({', '.join(found)})" for key, found in values.items() if len(found) > 1]
    return (
        f"the runs were trained with different {', '.join(mixed)}: small differences may come from it"
        if mixed
        else None
    )
