"""Copies of outputs from the device to the host, while the device computes the next batches."""

from collections.abc import Mapping

import torch
from torch import Tensor


class Transfer:
    """Copies tensors to the CPU, asynchronously into pinned memory on a GPU. On a CPU nothing is copied.

    Args:
        tensors: tensors by name.
        stay: names of tensors that stay where they are.
    """

    def __init__(self, tensors: Mapping[str, Tensor], stay: frozenset[str] = frozenset()) -> None:
        self._tensors = {
            name: tensor if name in stay else tensor.to("cpu", non_blocking=tensor.is_cuda)
            for name, tensor in tensors.items()
        }
        self._done: torch.cuda.Event | None = None
        if any(tensor.is_cuda for tensor in tensors.values()):
            self._done = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._done.record()

    def wait(self) -> dict[str, Tensor]:
        """Wait for all copies and return the tensors."""
        if self._done is not None:
            self._done.synchronize()
        return self._tensors
