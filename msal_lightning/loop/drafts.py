"""The record of a round whose query has not been labeled yet."""

from collections.abc import Mapping
from typing import Any

from msal_lightning.data.base import ActiveDataModule
from msal_lightning.loop.fitting import Fitted
from msal_lightning.loop.label_sources import InitialSet
from msal_lightning.models.class_results import ClassResults
from msal_lightning.oracles.tasks import shortest
from msal_lightning.query.callback import Query
from msal_lightning.runs.records import LabeledImages, RoundRecord
from msal_lightning.training.environment import environment


def first_facts(data: ActiveDataModule, initial: InitialSet, images: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that only the record of round 0 has: initial set, classes and images.

    Args:
        data: owns the split; the initial set is labeled.
        initial: labels that the run starts with.
        images: digest and number of the images; empty for a run of a version that stored none.
    """
    return {
        "initial": initial.train,
        "held_out": initial.held_out,
        "skipped": initial.skipped,
        "votes": initial.votes,
        **class_facts(data),
        "data": dict(images) or None,
        "resolved": data.resolved,
    }


def class_facts(data: ActiveDataModule) -> dict[str, Any]:
    """Return the fields that the record of round 0 and of each round with other classes has."""
    return {
        "train_class_counts": data.hidden_labels.count_classes(data.split.trainable, data.num_classes),
        "class_names": [*data.class_names],
    }


def class_counts(data: ActiveDataModule) -> list[int]:
    """Return the number of labels of each class that the next fit trains on, without pseudo-labels."""
    counts: list[int] = data.labels[data.labeled].bincount(minlength=data.num_classes).tolist()
    return counts


def draft_record(
    data: ActiveDataModule,
    query: Query,
    fitted: Fitted,
    metrics: Mapping[str, float],
    by_class: ClassResults,
    num_labeled: int,
    num_pool: int,
    facts: Mapping[str, Any],
) -> RoundRecord:
    """Return the record of a round without the labels of its query.

    Args:
        data: the run's data module.
        query: the round's query.
        fitted: the round's model.
        metrics: results on the test set.
        by_class: results on the test set for each class.
        num_labeled: number of labels before the round.
        num_pool: number of pool images before the query.
        facts: see :func:`first_facts`; empty after round 0.
    """
    return RoundRecord(
        round=query.round,
        num_labeled=num_labeled,
        num_pool=num_pool,
        num_scored=query.seen,
        num_test=data.num_test,
        metrics={name: shortest(value) for name, value in metrics.items()} | by_class.macro(),
        seconds=fitted.seconds,
        pool_error=query.pool_error,
        class_counts=[0] * data.num_classes,
        queried=LabeledImages(),
        environment=environment(fitted.trainer),
        test_classes=by_class,
        **{"initial": LabeledImages(), **facts},
    )
