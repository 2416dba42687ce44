"""Outputs on their way from the device to the host, while the device goes on."""

from collections.abc import Mapping

import torch
from torch import Tensor


class Transfer:
    """Copies tensors to the CPU; on a GPU without waiting for them, into pinned memory. On a CPU nothing is copied.

    Args:
        tensors: by name.
    """

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self._tensors = {name: tensor.to("cpu", non_blocking=True) for name, tensor in tensors.items()}
        self._done: torch.cuda.Event | None = None
        if any(tensor.is_cuda for tensor in tensors.values()):
            self._done = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._done.record()

    def wait(self) -> dict[str, Tensor]:
        """The tensors on the CPU, once they are all there."""
        if self._done is not None:
            self._done.synchronize()
        return self._tensors
