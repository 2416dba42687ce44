"""Randomness is derived, never stored: each draw has its own stream, keyed by its purpose.

No draw depends on earlier draws. Therefore a resumed run equals an uninterrupted one, every strategy starts with the
same initial set for a given seed, and two strategies with the same head train the same model in round 0.
"""

import hashlib
import random
from typing import Literal

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer, seed_everything
from numpy.typing import NDArray
from torch import Generator, Tensor

Purpose = Literal["split", "init", "shuffle", "augment", "dropout", "query", "embeddings", "perturb", "initial", "stop"]


def derive_seed(seed: int, purpose: Purpose, *key: int) -> int:
    """Return the seed of the stream for one purpose.

    Args:
        seed: the run's seed.
        purpose: use of the draws; ``split`` draws the initial set, ``init`` the weights.
        *key: round, epoch and rank, if the purpose depends on them.

    Returns:
        An integer in [0, 2³²), the range that numpy, torch and Lightning all accept.
    """
    text = "/".join(map(str, (seed, purpose, *key)))
    return int.from_bytes(hashlib.blake2s(text.encode(), digest_size=4).digest(), "little")


def stream(seed: int, purpose: Purpose, *key: int) -> Generator:
    """Return a CPU generator at the start of the stream of :func:`derive_seed`."""
    return Generator().manual_seed(derive_seed(seed, purpose, *key))


def retry_key(attempt: int) -> tuple[int, ...]:
    """Return the suffix of a fit's stream keys; it is empty on the first attempt."""
    return (attempt,) if attempt else ()


def noise_of_rows(seed: int, index: Tensor) -> Tensor:
    """Draw one uniform number for each image from (seed, index) alone, independent of batches, order and ranks.

    [0] Steele, Lea and Flood, 2014, Fast Splittable Pseudorandom Number Generators, OOPSLA (SplitMix64)

    Args:
        seed: seed of the query stream.
        index: (N,) int64, dataset-absolute.

    Returns:
        (N,) float64 in (0, 1).
    """
    start = mix(np.array([seed], dtype=np.uint64))
    bits = mix(start + (index.numpy().astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15))
    # 52 bits: adding one half to a 53-bit integer could round up to 1
    return torch.from_numpy(((bits >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52)


def mix(z: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Mix the bits of each number, one to one, so that near numbers become unlike: (N,) to (N,), SplitMix64's."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return z


class EpochStreams(Callback):
    """Seed the global generators, which dropout uses, before each epoch.

    Args:
        seed: the run's seed.
        round: k.
        attempt: attempt at this round, from 0; a fit that diverges causes another attempt.
    """

    def __init__(self, seed: int, round: int, attempt: int = 0) -> None:
        self._key = seed, round, retry_key(attempt)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Seed the generators before the first batch of an epoch, including a resumed epoch."""
        seed, round, retry = self._key
        rank = trainer.global_rank  # only training noise may differ between ranks
        seed_generators(
            derive_seed(seed, "dropout", round, trainer.current_epoch, rank, *retry), trainer.strategy.root_device
        )


def seed_generators(seed: int, device: torch.device) -> None:
    """Seed the global generators of Python, numpy and torch.

    Args:
        seed: an integer in [0, 2³²).
        device: device of the model. For a CPU no other device is seeded, because torch takes 4 ms to note a seed for a
            GPU that is not in use.
    """
    if device.type != "cpu":
        seed_everything(seed, verbose=False)
        return
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - the global one, which libraries may use
    torch.default_generator.manual_seed(seed)
