"""All that a process needs to score a part of the pool."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from msal_lightning.data.base import ActiveDataModule
from msal_lightning.data.class_change import ClassChange
from msal_lightning.data.image_order import ImageOrder, RowOrder
from msal_lightning.models.classifier import MSALClassifier
from msal_lightning.query.callback import Query


@dataclass(frozen=True)
class PoolRequest:
    """A pool pass, as plain values and arrays. Processes of one machine can share the arrays.

    Attributes:
        config: the run's configuration.
        resolved: options that the data found in its files, see ``ActiveDataModule.resolved``.
        order: numbers of the images, see ``ActiveDataModule.order``.
        precision: that of the Trainer.
        accelerator: cpu, or cuda for a GPU for each part.
        eval_batch_size: images of a step.
        seed: the run's seed.
        round: k.
        attempt: number of earlier fits of this round.
        pool_limit: see :class:`~msal_lightning.data.round_context.RoundContext`.
        n: number of images that will be selected.
        class_names: names of the classes.
        class_changes: changes of the classes that the data has.
        labeled_at: (N,) int32, the split.
        labels: (M,) int32, labels of the labeled set, by ascending index.
        weights: the model's state by name.
    """

    config: dict[str, Any]
    resolved: dict[str, Any] | None
    order: ImageOrder | RowOrder | None
    precision: str
    accelerator: str
    eval_batch_size: int
    seed: int
    round: int
    attempt: int
    pool_limit: int | None
    n: int
    class_names: tuple[str, ...]
    class_changes: tuple[ClassChange, ...]
    labeled_at: NDArray[np.int32]
    labels: NDArray[np.int32]
    weights: dict[str, NDArray[Any]]

    @classmethod
    def of(
        cls, query: Query, data: ActiveDataModule, model: MSALClassifier, config: dict[str, Any], precision: str
    ) -> "PoolRequest":
        """Return the request for a query on the processes of other machines.

        Args:
            query: not started.
            data: data module of the run, in the round of the query.
            model: the trained model.
            config: the run's configuration.
            precision: that of the Trainer.
        """
        weights = {name: value.detach().cpu() for name, value in model.state_dict().items()}
        return cls(
            config=config,
            resolved=data.resolved,
            order=data.order,
            precision=precision,
            accelerator=model.device.type,
            eval_batch_size=data.images_per_eval_step,
            seed=data.seed,
            round=query.round,
            attempt=data.context.attempt,
            pool_limit=data.context.pool_limit,
            n=query.n,
            class_names=data.class_names,
            class_changes=data.class_changes,
            labeled_at=data.labeled_at.numpy(),
            labels=data.labels[data.labeled].numpy(),
            weights={name: value.numpy() for name, value in weights.items()},
        )

    def prepare(self, data: ActiveDataModule, model: MSALClassifier, part: int, num_parts: int) -> None:
        """Put a data module and a model into the state of the run.

        Args:
            data: data module of the same configuration, after ``setup``.
            model: model of the same configuration.
            part: number of the part of the pool, from 0.
            num_parts: number of parts.
        """
        data.reset(self.seed)
        for change in self.class_changes:
            data.change_classes(change)
        data.labeled_at.numpy()[:] = self.labeled_at  # a copy, because other processes may share the array
        data.labels[data.labeled] = torch.from_numpy(self.labels.copy())
        data.class_names = self.class_names
        data.eval_batch_size = self.eval_batch_size
        data.enter(round=self.round, attempt=self.attempt, pool_limit=self.pool_limit, part=(part, num_parts))
        model.load_state_dict({name: torch.from_numpy(value.copy()) for name, value in self.weights.items()})
