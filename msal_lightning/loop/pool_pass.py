"""Where the pool is scored: by the Trainer of the fit, or in parts by other processes."""

from collections.abc import Callable
from typing import Any, Protocol

from lightning.pytorch import Trainer

from msal_lightning.data.base import ActiveDataModule
from msal_lightning.errors import ConfigError
from msal_lightning.models.classifier import MSALClassifier
from msal_lightning.query.callback import PoolPart, Query
from msal_lightning.query.pool_request import PoolRequest


class PoolPass(Protocol):
    """Makes the pool pass of a query; the query has selected when it returns."""

    def __call__(
        self, query: Query, trainer: Trainer, model: MSALClassifier, data: ActiveDataModule, check: Callable[[], None]
    ) -> None:
        """Score the pool.

        Args:
            query: one of the Trainer's callbacks.
            trainer: the Trainer of the fit; its callbacks end its own passes after a signal.
            model: the trained model.
            data: owns the pool.
            check: raises if the run shall end after a signal.
        """


def pass_of_trainer(
    query: Query, trainer: Trainer, model: MSALClassifier, data: ActiveDataModule, check: Callable[[], None]
) -> None:
    """Score the pool with the Trainer of the fit, on all its devices."""
    trainer.predict(model, datamodule=data, return_predictions=False)


class PassInParts:
    """Scores parts of the pool in other processes, and selects in this one: the same images as in one process.

    A part consists of whole batches of the pass, so that its numbers are the same on the same kind of processor.

    Args:
        config: the run's configuration, from which the processes make data, strategy and model.
        num_parts: number of parts.
        score: scores all parts; gets the request, their number, and the function that raises if the run shall end.
    """

    def __init__(
        self,
        config: dict[str, Any],
        num_parts: int,
        score: Callable[[PoolRequest, int, Callable[[], None]], list[PoolPart]],
    ) -> None:
        self._config = config
        self._num_parts = num_parts
        self._score = score

    def __call__(
        self, query: Query, trainer: Trainer, model: MSALClassifier, data: ActiveDataModule, check: Callable[[], None]
    ) -> None:
        """Score the pool.

        Raises:
            ConfigError: the Trainer itself has several processes.
        """
        if trainer.world_size > 1:
            raise ConfigError(
                f"expected trainer.devices 1 with query_executor ray, got {trainer.world_size} processes: set "
                "query_executor to trainer, which scores the pool on all devices"
            )
        query.use_head(model)
        request = PoolRequest.of(query, data, model, self._config, trainer.precision)
        num_batches = -(-data.num_scored // request.eval_batch_size)
        query.select_from(self._score(request, min(self._num_parts, num_batches), check), data)
