"""The masks of passes with dropout."""

from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from msal_lightning.errors import ConfigError

_BANK = 256  # masks that a pass draws from: two images share one in a pass of 256, and T·256·D bytes are little


class DropoutMasks:
    """Dropout masks for each of T passes: one mask per image, derived from its index alone, or one for all images.

    One mask per image is the usual Monte Carlo dropout: with few shared masks whole classes look uncertain at once
    (docs/fidelity.md, 2.5). A strategy that compares several images needs shared masks, so that each pass is one model
    of the posterior. Neither batches nor ranks change a mask.

    [0] Gal and Ghahramani, 2016, Dropout as a Bayesian Approximation, arXiv 1506.02142

    Args:
        generators: one a pass.
        p: probability of dropping a value.
        size: D.
        shared: one mask a pass for all images.
        device: device of the embeddings.

    Raises:
        ConfigError: nothing would be dropped.
    """

    def __init__(
        self, generators: Sequence[Generator], p: float, size: int, shared: bool, device: torch.device
    ) -> None:
        if not p:
            raise ConfigError(
                "expected model.dropout to be above 0 for a query with passes of dropout, got 0: set it to 0.2"
            )
        self._keep = 1 - p
        shape = (1 if shared else _BANK, size)
        banks = [torch.bernoulli(torch.full(shape, self._keep), generator=g).bool() for g in generators]
        keys = [int(torch.randint(2**32, (), generator=g)) for g in generators]
        self._banks, self._keys = [bank.to(device) for bank in banks], keys

    def __len__(self) -> int:
        """T."""
        return len(self._banks)

    def apply(self, embeddings: Tensor, index: Tensor, t: int) -> Tensor:
        """Embeddings as pass t sees them, (B, D).

        Args:
            embeddings: (B, D) float32.
            index: (B,) int64, dataset-absolute.
            t: the pass.
        """
        bank = self._banks[t]
        return embeddings * bank[_mix(index ^ self._keys[t]) % len(bank)] / self._keep


def _mix(x: Tensor) -> Tensor:
    """A hash of 32 bits in int64, on any device: Mueller's, whose products stay below 2^63."""
    x = x & 0xFFFFFFFF
    for _ in range(2):
        x = ((x ^ (x >> 16)) * 0x45D9F3B) & 0xFFFFFFFF
    return x ^ (x >> 16)
