"""Networks from images to vectors, for training or as they are."""

import hashlib
from abc import ABC, abstractmethod
from typing import Any, Self

import torch
from torch import Tensor, nn

from msal_lightning.data.images.preprocessing import Preprocessing


class Encoder(nn.Module, ABC):
    """Maps images (N, in_channels, H, W) to embeddings (N, D); ``embed`` runs it, and nothing trains it.

    Attributes:
        preprocessing: what the network expects of its images; None if it does not say.
        uses_autocast: whether bfloat16 autocast of torch has an effect on it.
        built_with: the arguments of the constructor, by position and by name.
    """

    preprocessing: Preprocessing | None = None
    uses_autocast: bool = True
    built_with: tuple[tuple[Any, ...], dict[str, Any]] = ((), {})

    def __new__(cls, *args: Any, **named: Any) -> Self:
        """Note the arguments before a constructor changes them, for a checkpoint that can be opened alone."""
        made = super().__new__(cls)
        object.__setattr__(made, "built_with", (args, named))  # nn.Module is not ready for attributes
        return made

    @abstractmethod
    def forward(self, images: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, D)."""

    def digest(self) -> str:
        """Hash the names, shapes and values of all weights."""
        digest = hashlib.blake2b(digest_size=16)
        for name, value in sorted(self.state_dict().items()):
            digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
            digest.update(_bytes(value))
        return digest.hexdigest()


def _bytes(value: Any) -> Any:
    return memoryview(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
