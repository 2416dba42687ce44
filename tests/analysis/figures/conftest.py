"""Run directories without runs."""

import pytest

from msal_lightning.runs.directory import RunDirectory
from msal_lightning.runs.records import LabeledImages, RoundRecord


@pytest.fixture
def write_run():
    """``write_run(path, query, seed, accuracies, ...)``: a round of ten labels for each accuracy.

    ``options`` are those of the query; ``pool_errors``, ``labels`` and ``queried`` have a value a round.
    """

    def write(
        path,
        query,
        seed,
        accuracies,
        *,
        head="prototype",
        dataset="Digits",
        uncertainty=None,
        loop=None,
        data=None,
        pool_errors=None,
        labels=None,
        queried=None,
        **options,
    ):
        if uncertainty:
            options["uncertainty"] = {"class_path": f"msal_lightning.strategies.{uncertainty}"}
        config = {
            "seed": seed,
            "loop": loop or {},
            "data": {"class_path": f"msal_lightning.data.{dataset}", "init_args": data or {}},
            "query": {"class_path": f"msal_lightning.strategies.{query}", "init_args": options},
            "model": {"head": head},
        }
        run = RunDirectory(path, config)
        run.open()
        for k, accuracy in enumerate(accuracies):
            seconds = {"fit": 1.0, "test": 0.1, "query": 0.1}
            num_labeled = labels[k] if labels else 10 * (k + 1)
            error = pool_errors[k] if pool_errors else None
            labeled = queried[k] if queried else LabeledImages()
            metrics = {"accuracy": accuracy}
            run.commit(RoundRecord(k, num_labeled, 90, metrics, seconds, error, [], labeled, LabeledImages(), {}))
        run.close()

    return write
