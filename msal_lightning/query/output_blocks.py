"""The outputs of many batches, which reach the host together so that a GPU does not wait for it after each batch."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from msal_lightning.query.transfer import Transfer
from msal_lightning.strategies.outputs import row_axis
from msal_lightning.training.gpu_memory import free_bytes

_BLOCK_BYTES = 2**26  # 64 MB wait on a GPU for their copy: a million images of 10 classes
_SHARE = 0.25  # of a GPU's free memory, for outputs that stay there: concatenating them takes the same once more


class Block(NamedTuple):
    """Outputs of consecutive batches from one loader.

    Attributes:
        outputs: tensors by name, on the host unless they stay on the device.
        dataloader_idx: number of the loader.
    """

    outputs: dict[str, Tensor]
    dataloader_idx: int


class OutputBlocks:
    """Collects the outputs of a pass. On a CPU each batch is a block; on a GPU a block has many batches.

    Args:
        stay: names of outputs that stay on the device if those of all rows fit; they never leave a CPU.
        num_rows: number of rows of all loaders.
    """

    def __init__(self, stay: frozenset[str] = frozenset(), num_rows: int = 0) -> None:
        self._may_stay = stay
        self._num_rows = num_rows
        self._stay: frozenset[str] | None = None
        self._waiting: list[dict[str, Tensor]] = []
        self._dataloader_idx = 0
        self._under_way: tuple[Transfer, int] | None = None

    def add(self, outputs: dict[str, Tensor], dataloader_idx: int) -> list[Block]:
        """Take the outputs of a batch; none of the tensors may change later.

        Returns:
            Blocks that have arrived on the host.
        """
        if self._stay is None:
            self._stay = self._fitting(outputs)
        arrived = self._send() if dataloader_idx != self._dataloader_idx else []
        self._dataloader_idx = dataloader_idx
        self._waiting.append(outputs)
        return arrived + self._send() if self._is_full() else arrived

    def finish(self) -> list[Block]:
        """Wait for the rest.

        Returns:
            All blocks that :meth:`add` has not returned.
        """
        return self._send() + self._arrived()

    def _is_full(self) -> bool:
        assert self._stay is not None
        leaving = [tensor for part in self._waiting for name, tensor in part.items() if name not in self._stay]
        return not any(map(_on_gpu, leaving)) or sum(tensor.nbytes for tensor in leaving) >= _BLOCK_BYTES

    def _send(self) -> list[Block]:
        """Start to copy what is waiting, and return the block before, whose copy has probably ended."""
        if not self._waiting:
            return []
        arrived = self._arrived()
        block = {name: _concatenated(name, self._waiting) for name in self._waiting[0]}
        self._waiting = []
        self._under_way = Transfer(block, self._stay or frozenset()), self._dataloader_idx
        return arrived

    def _arrived(self) -> list[Block]:
        if self._under_way is None:
            return []
        (transfer, dataloader_idx), self._under_way = self._under_way, None
        return [Block(transfer.wait(), dataloader_idx)]

    def _fitting(self, outputs: Mapping[str, Tensor]) -> frozenset[str]:
        """Return the outputs that stay, by the size of those of the first batch."""
        staying = {name: outputs[name] for name in self._may_stay & outputs.keys() if _on_gpu(outputs[name])}
        if not staying:
            return frozenset()
        rows = max(1, len(outputs["index"]))
        num_bytes = sum(tensor.nbytes for tensor in staying.values()) / rows * self._num_rows
        free = free_bytes(next(iter(staying.values())).device)
        return frozenset(staying) if num_bytes <= _SHARE * free else frozenset()


def _on_gpu(tensor: Tensor) -> bool:
    return tensor.is_cuda


def _concatenated(name: str, parts: list[dict[str, Tensor]]) -> Tensor:
    first = parts[0][name]
    return first if len(parts) == 1 else torch.cat([part[name] for part in parts], dim=row_axis(name))
