"""Run directories without any training."""

import pytest

from msal_lightning.runs.directory import RunDirectory
from msal_lightning.runs.records import LabeledImages, RoundRecord


@pytest.fixture
def write_run(tmp_path):
    def write(name, accuracies, query="Random", seed=0, head="linear", *, options=None, dataset="Digits",
              initial=(0, 1), queried=None, loop=None, data=None, class_names=None, **more):  # fmt: skip
        config = {
            "seed": seed,
            "loop": loop or {"initial_size": 2, "query_size": 2, "query_budget": 2 * (len(accuracies) - 1)},
            "data": {"class_path": f"msal_lightning.data.{dataset}", "init_args": data or {"batch_size": 8}},
            "query": {"class_path": f"msal_lightning.strategies.{query}", "init_args": options or {}},
            "model": {"head": head},
            **more,
        }
        run = RunDirectory(tmp_path / "runs" / name, config)
        run.open()
        parts = queried or [[10 * k + 2, 10 * k + 3] for k in range(len(accuracies) - 1)]
        for k, accuracy in enumerate(accuracies):
            index = parts[k] if k < len(accuracies) - 1 else []
            start = LabeledImages(list(initial), [i % 2 for i in initial]) if k == 0 else LabeledImages()
            run.commit(
                RoundRecord(
                    round=k,
                    num_labeled=2 + 2 * k,
                    num_pool=98 - 2 * k,
                    metrics={"accuracy": accuracy},
                    seconds={"fit": 2.0, "test": 0.5, "query": 0.25},
                    pool_error=None,
                    class_counts=[sum(i % 2 == c for i in index) for c in (0, 1)],
                    queried=LabeledImages(index, [i % 2 for i in index]),
                    initial=start,
                    environment={},
                    train_class_counts=[60, 40] if k == 0 else None,
                    class_names=class_names if k == 0 else None,
                )
            )
        return run.path

    return write


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "runs"
