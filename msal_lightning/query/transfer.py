"""Copies of outputs from the device to the host, while the device computes the next batch."""

from collections.abc import Mapping

import torch
from torch import Tensor


class Transfer:
    """Copies tensors to the CPU, asynchronously into pinned memory on a GPU. On a CPU nothing is copied.

    Args:
        tensors: tensors by name.
    """

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self._tensors = {name: tensor.to("cpu", non_blocking=True) for name, tensor in tensors.items()}
        self._done: torch.cuda.Event | None = None
        if any(tensor.is_cuda for tensor in tensors.values()):
            self._done = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._done.record()

    def wait(self) -> dict[str, Tensor]:
        """Wait for all copies and return the tensors on the CPU."""
        if self._done is not None:
            self._done.synchronize()
        return self._tensors
