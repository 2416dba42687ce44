"""Leaves runs alone that began on another kind of device, where CPUs and GPUs must not be mixed."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from msal_lightning.errors import RunError
from msal_lightning.io.wording import counted
from msal_lightning.runs.records import read_record
from msal_lightning.sweep.grid import Cell


def of_this_device(cells: Sequence[Cell], out: Path) -> tuple[list[Cell], list[str]]:
    """Divide cells by the kind of device on which their runs began.

    Args:
        cells: cells of a sweep.
        out: folder of their run directories.

    Returns:
        Cells without a record, or whose first round was on a device like this machine's; and a sentence for each other
        device.
    """
    import torch

    here = torch.cuda.is_available()
    kept, other = [], Counter[str]()
    for cell in cells:
        device = _device_of(out / cell.name)
        if device is None or (not device.startswith("cpu")) is here:
            kept.append(cell)
        else:
            other[device] += 1
    now = "a GPU" if here else "a CPU"
    return kept, [
        f"left {counted(count, 'run')} alone that began on {device}: this is {now}, and the two are never mixed"
        for device, count in other.items()
    ]


def _device_of(folder: Path) -> str | None:
    """Return the device of the first round; None if there is none yet, or no record that names one."""
    try:
        return read_record(folder / "rounds" / "000.json").environment.get("device")
    except RunError:  # there is none, or `fit` names what is damaged
        return None
