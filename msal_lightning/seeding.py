"""Randomness is derived, never stored: each draw has its own stream, keyed by what it is for.

Nothing depends on what ran before. Therefore a resumed run equals an uninterrupted one, the initial set of a seed is
the same for every strategy, and round 0 of two strategies with the same head trains the same model.
"""

import hashlib
from typing import Literal

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer, seed_everything
from numpy.typing import NDArray
from torch import Generator, Tensor

Purpose = Literal["split", "init", "shuffle", "augment", "dropout", "query", "embeddings"]


def derive_seed(seed: int, purpose: Purpose, *key: int) -> int:
    """Seed of the stream for one purpose.

    Args:
        seed: the run's seed.
        purpose: what the draws are for. ``split`` draws the initial set, ``init`` the weights.
        *key: round, epoch, rank, as far as the purpose depends on them.

    Returns:
        An integer in [0, 2³²), the range that numpy, torch and Lightning all accept.
    """
    text = "/".join(map(str, (seed, purpose, *key)))
    return int.from_bytes(hashlib.blake2s(text.encode(), digest_size=4).digest(), "little")


def stream(seed: int, purpose: Purpose, *key: int) -> Generator:
    """A CPU generator at the start of the stream of :func:`derive_seed`."""
    return Generator().manual_seed(derive_seed(seed, purpose, *key))


def retry_key(attempt: int) -> tuple[int, ...]:
    """What the keys of a fit's streams end with: nothing the first time, so that most runs know nothing of attempts."""
    return (attempt,) if attempt else ()


def noise_of_rows(seed: int, index: Tensor) -> Tensor:
    """One uniform draw for each image, from (seed, index) alone: batches, order and ranks don't matter.

    [0] Steele, Lea and Flood, 2014, Fast Splittable Pseudorandom Number Generators, OOPSLA (SplitMix64)

    Args:
        seed: of the query stream.
        index: (N,) int64, dataset-absolute.

    Returns:
        (N,) float64 in (0, 1).
    """
    start = _mix(np.array([seed], dtype=np.uint64))
    bits = _mix(start + (index.numpy().astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15))
    # 52 bits: the half above the 53rd would round up to 1
    return torch.from_numpy(((bits >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52)


def _mix(z: NDArray[np.uint64]) -> NDArray[np.uint64]:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return z


class EpochStreams(Callback):
    """Puts the global generators, which dropout draws from, at the start of their stream before each epoch.

    Args:
        seed: the run's seed.
        round: k.
        attempt: at this round; above 0 after a fit that diverged.
    """

    def __init__(self, seed: int, round: int, attempt: int = 0) -> None:
        self._key = seed, round, retry_key(attempt)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Called before the first batch of an epoch, of a resumed one too."""
        seed, round, retry = self._key
        rank = trainer.global_rank  # training noise is the only thing that may differ between ranks
        seed_everything(derive_seed(seed, "dropout", round, trainer.current_epoch, rank, *retry), verbose=False)
