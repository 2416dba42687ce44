"""``trainer.precision: auto`` selects the fastest precision of this device; scores and the head stay in float32."""

from pathlib import Path

import torch
import yaml

from msal_lightning.compat import cpu_computes_in_bfloat16
from msal_lightning.io.yaml_files import read_yaml


def choose_precision(accelerator: str, run_dir: Path | None = None) -> tuple[str, str]:
    """Choose the precision for ``auto``.

    It is bfloat16 if the device computes in it; docs/performance.md has measurements on a CPU. It is never float16,
    whose gradients need scaling. A run keeps its first precision, so it can resume on another machine.

    Args:
        accelerator: accelerator of the Trainer.
        run_dir: directory of a run that may have begun.

    Returns:
        A precision of Lightning's Trainer, and the reason.
    """
    if run_dir is not None and (before := _began_with(run_dir)):
        return before, "this run began with it"
    if accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available():
        native = torch.cuda.is_bf16_supported(including_emulation=False)
        return _bfloat16(native, f"the {torch.cuda.get_device_name()}")
    if accelerator in ("auto", "gpu", "mps") and torch.backends.mps.is_available():
        return _bfloat16(False, "this GPU")
    return _bfloat16(cpu_computes_in_bfloat16(), "this CPU")


def _bfloat16(native: bool, device: str) -> tuple[str, str]:
    if native:
        return "bf16-mixed", f"{device} computes in bfloat16; scores stay in float32"
    return "32-true", f"{device} does not compute in bfloat16"


def _began_with(run_dir: Path) -> str | None:
    try:
        config = read_yaml(run_dir / "config.yaml")
        precision = config["trainer"]["precision"]
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError):
        return None  # the run directory itself reports the mistake later
    return precision if precision in ("32-true", "bf16-mixed", "16-mixed") else None
