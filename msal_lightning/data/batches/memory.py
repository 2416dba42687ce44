"""Where decoded images stay: in memory, or on the disk."""

import os
from typing import Literal

from msal_lightning.data.images.image_files import free_memory
from msal_lightning.io.terminal import say


def workers_to_decode(in_memory: bool | Literal["auto"], num_workers: int | None, num_bytes: int) -> int | None:
    """Decide whether images are decoded once, and say so.

    Args:
        in_memory: ``data.in_memory``; auto keeps images that take less than half of the free memory.
        num_workers: ``data.num_workers``; None for one per CPU, at most 8.
        num_bytes: size of all decoded images.

    Returns:
        None to keep them in memory; otherwise the number of processes that decode.
    """
    free = free_memory()
    keep = num_bytes < free / 2 if in_memory == "auto" else bool(in_memory)
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    workers = min(8, cpus) if num_workers is None else num_workers
    by = f"by {workers} processes" if workers else "as they are needed"
    where = "kept in memory" if keep else f"decoded from disk {by}"
    say(f"images: {num_bytes / 1e9:.3f} GB, {free / 1e9:.1f} GB of memory are free: {where}")
    return None if keep else workers
