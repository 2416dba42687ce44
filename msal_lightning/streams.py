"""Randomness is derived, never stored: each draw has its own stream, keyed by what it is for.

Nothing depends on what ran before. Therefore a resumed run equals an uninterrupted one, the initial set of a seed is
the same for every strategy, and round 0 of two strategies with the same head trains the same model.
"""

import hashlib
from typing import Literal

from lightning.pytorch import Callback, LightningModule, Trainer, seed_everything
from torch import Generator

Purpose = Literal["split", "init", "shuffle", "augment", "dropout", "query"]


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


class EpochStreams(Callback):
    """Puts the global generators, which dropout draws from, at the start of their stream before each epoch.

    Args:
        seed: the run's seed.
        round: k.
    """

    def __init__(self, seed: int, round: int) -> None:
        self._key = seed, round

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Called before the first batch of an epoch, of a resumed one too."""
        seed, round = self._key
        rank = trainer.global_rank  # training noise is the only thing that may differ between ranks
        seed_everything(derive_seed(seed, "dropout", round, trainer.current_epoch, rank), verbose=False)
