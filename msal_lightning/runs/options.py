"""The options of the loop, ``--loop.*``: their meaning, and whether they affect results."""

import math
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal

from msal_lightning.errors import ConfigError

if TYPE_CHECKING:  # commands that read a run directory start without torch
    from msal_lightning.stopping.base import StoppingCriterion
    from msal_lightning.strategies.base import Strategy


def _option(default: Any, *, alters_result: bool) -> Any:
    return field(default=default, metadata={"alters_result": alters_result})


@dataclass(frozen=True)
class LoopOptions:
    """The loop's options: sizes, seed, and the files to keep.

    A field whose metadata says ``alters_result: False`` may change between two commands on the same run.

    Args:
        initial_size: images in the initial set, including the held-out ones; `all` trains on every image and queries
            nothing (the paper's Full).
        query_size: labels per round, the paper's b.
        query_budget: labels beyond the initial set in the whole run, the paper's Q.
        held_out: labels of the initial set that serve as the test set, where the data has none; the model does not
            train on them.
        seed: seed of every random draw.
        pool_limit: number of randomly drawn pool images that each round scores, for pools that are too large to score
            whole; by default the whole pool.
        pool_error: measure the error rate on the pool in each round (Fig. 3), even if the strategy needs no pool pass.
        keep_embeddings: number of pool images whose embeddings are saved each round (plus all queried ones), for
            `figure tsne`. Forces a pool pass.
        checkpoint_seconds: save a fit at the end of an epoch if at least this many seconds have passed since the last
            save. A kill loses at most this much training, or one epoch if that takes longer.
        keep_checkpoints: keep the models of the last finished round, of all rounds, or of none.
        on_nan: if the loss becomes NaN or infinite, stop the run, or retry the round with other weights, at most three
            times.
        compile: torch.compile the backbone, once for all rounds. An interrupted run then gives the same result up to
            rounding.
        replay: run directory whose labels this run trains on, round by round, instead of querying. Pseudo-labels
            belong to the model that made them and are not replayed.
        warm_start: start each fit from the model of the round before, instead of fresh weights.
        shrink: with warm_start, multiply its trained weights by this number.
        perturb: with warm_start, add noise with this standard deviation to its trained weights.
        initial: strategy without a model that chooses the initial set, TypiClust for example; by default Random.
        initial_features: folder of `embed` with the features that loop.initial reads; not for data Embeddings.
        lag: number of queries that are chosen ahead, so that people label while the next model is trained: with 1, the
            labels of a round are chosen by the model of the round before. 0 is the paper's loop.
        stop: stopping criterion, KappaAgreement for example, that may end the run before its budget; `extend` goes on.
        first_fit: file that holds the model of round 0, shared by runs that differ only in query and budget.

    Raises:
        ConfigError: a number is out of range.
    """

    initial_size: int | Literal["all"] = field(metadata={"alters_result": True})
    query_size: int = _option(1, alters_result=True)
    query_budget: int = _option(0, alters_result=True)
    held_out: int = _option(0, alters_result=True)
    seed: int = _option(0, alters_result=True)
    pool_limit: int | None = _option(None, alters_result=True)
    pool_error: bool = _option(False, alters_result=True)
    keep_embeddings: int = _option(0, alters_result=False)
    checkpoint_seconds: float = _option(60.0, alters_result=False)
    keep_checkpoints: Literal["last", "all", "none"] = _option("last", alters_result=False)
    on_nan: Literal["stop", "retry"] = _option("stop", alters_result=False)
    compile: bool = _option(False, alters_result=True)
    replay: str | None = _option(None, alters_result=True)
    warm_start: bool = _option(False, alters_result=True)
    shrink: float = _option(1.0, alters_result=True)
    perturb: float = _option(0.0, alters_result=True)
    initial: "Strategy | None" = _option(None, alters_result=True)  # noqa: RUF009 - _option is field()
    initial_features: str | None = _option(None, alters_result=True)
    lag: int = _option(0, alters_result=True)
    stop: "StoppingCriterion | None" = _option(None, alters_result=True)  # noqa: RUF009 - as above
    first_fit: str | None = _option(None, alters_result=False)

    def __post_init__(self) -> None:
        if self.pool_limit is not None and self.pool_limit < self.query_size:
            raise ConfigError(
                f"expected loop.pool_limit to be at least loop.query_size ({self.query_size}), got {self.pool_limit}: "
                "a query chooses among the images that it scores"
            )
        if self.checkpoint_seconds < 0:
            raise ConfigError(
                f"expected loop.checkpoint_seconds to be at least 0, got {self.checkpoint_seconds}: 60 is the default"
            )
        if self.keep_embeddings < 0:
            raise ConfigError(
                f"expected loop.keep_embeddings to be at least 0, got {self.keep_embeddings}: 1000 is enough for a "
                "figure"
            )
        if self.lag < 0:
            raise ConfigError(f"expected loop.lag to be at least 0, got {self.lag}: 1 chooses one query ahead")
        if self.initial_features and self.initial is None:
            raise ConfigError(
                "expected loop.initial to be a strategy that chooses by loop.initial_features, got none: set it to "
                "TypiClust, or leave loop.initial_features out"
            )
        if self.stop is not None and self.replay:
            raise ConfigError(
                f"expected loop.stop to be left out with loop.replay, which has the rounds of another run, got "
                f"{type(self.stop).__name__}"
            )
        self._check_warm_start()

    def _check_warm_start(self) -> None:
        if not 0 < self.shrink <= 1:
            raise ConfigError(f"expected loop.shrink to be above 0 and at most 1, got {self.shrink}: 1 is the default")
        if not 0 <= self.perturb < math.inf:
            raise ConfigError(f"expected loop.perturb to be at least 0, got {self.perturb}: 0 is the default")
        if not self.warm_start and (self.shrink, self.perturb) != (1, 0):
            raise ConfigError(
                "expected loop.shrink and loop.perturb to be left out without loop.warm_start, got "
                f"{self.shrink} and {self.perturb}: set loop.warm_start to true"
            )
        if self.warm_start and self.keep_checkpoints == "none":
            raise ConfigError(
                "expected loop.keep_checkpoints to be last or all with loop.warm_start, which starts from the model of "
                "the round before, got none"
            )


FREE_KEYS = tuple(f"loop.{option.name}" for option in fields(LoopOptions) if not option.metadata["alters_result"])
"""Keys of a configuration that may change between two commands, because they do not affect results."""
