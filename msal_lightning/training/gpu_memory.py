"""The part of a GPU's memory that a process may use, where several runs share the GPU."""

import os
from collections.abc import Mapping

import torch

from msal_lightning.errors import ConfigError

SHARE = "MSAL_LIGHTNING_GPU_SHARE"
"""Environment variable with the share of a GPU that a process may use, above 0 and at most 1; a sweep sets it."""
_CONTEXT = 600e6  # bytes of CUDA's own context, which each process needs outside of torch's memory


def gpu_share(environment: Mapping[str, str] = os.environ) -> float:
    """Return the share of a GPU's memory that this process may use."""
    return float(environment.get(SHARE, 1.0))


def take_share(device: torch.device) -> None:
    """Keep this process within its share of the GPU; it then runs out of memory instead of the run beside it."""
    if device.type != "cuda" or (share := gpu_share()) >= 1:
        return
    total = torch.cuda.get_device_properties(device).total_memory
    torch.cuda.set_per_process_memory_fraction(max(0.01, share - _CONTEXT / total), device)


def free_bytes(device: torch.device) -> float:
    """Return how much memory this process can still get on a GPU: what is free, within its share."""
    free, total = torch.cuda.mem_get_info(device)
    if (share := gpu_share()) >= 1:
        return free
    return min(free, share * total - _CONTEXT - torch.cuda.memory_reserved(device))


def check_memory(needed: float, free: float, batch_size: int) -> None:
    """Reject a run that cannot train on this GPU, before it starts.

    Args:
        needed: bytes that an optimizer step needs at least.
        free: bytes that this process can get.
        batch_size: images of a step.

    Raises:
        ConfigError: an optimizer step does not fit.
    """
    if needed > free:
        one_of = f", one of {1 / gpu_share():.0f} that share a GPU," if gpu_share() < 1 else ""
        raise ConfigError(
            f"expected an optimizer step to fit into the {max(0.0, free) / 1e9:.1f} GB of GPU memory that this process"
            f"{one_of} can get, got at least {needed / 1e9:.1f} GB for a batch of {batch_size}: lower "
            f"{'--jobs of the sweep or ' if one_of else ''}data.batch_size"
        )
