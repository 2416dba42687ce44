"""The settings of a round that affect its data."""

from dataclasses import dataclass


@dataclass(frozen=True)
class RoundContext:
    """The part of a data module's state that belongs to the round in progress.

    Attributes:
        round: k; keys the random streams of the round.
        attempt: number of earlier fits of this round whose loss became NaN or infinite.
        pool_limit: a pool pass scores a random subset of this size, another one each round; None: the whole pool.
        whole_epochs: a training loader gives the indices of an epoch at once, and the model reads the images.
        predict_labeled: a pool pass also scores the labeled set, as its second loader.
        part: k and K, if a pool pass scores only the k-th of K parts, from 0; a part has whole batches of the pass.
    """

    round: int = 0
    attempt: int = 0
    pool_limit: int | None = None
    whole_epochs: bool = False
    predict_labeled: bool = False
    part: tuple[int, int] = (0, 1)
