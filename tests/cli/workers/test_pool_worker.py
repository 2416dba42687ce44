"""Pool passes in parts: the same run as with the Trainer's own pass. Here the parts run in this process."""

import json
import pickle
from typing import ClassVar

import numpy as np
import pytest
import torch

import msal_lightning.cli.fit
from msal_lightning import MSALClassifier, Query
from msal_lightning.cli.main import main
from msal_lightning.cli.workers.pool_worker import score_part
from msal_lightning.data.class_change import ClassChange
from msal_lightning.datasets import Digits
from msal_lightning.models.backbones import SmallCNN
from msal_lightning.query.pool_request import PoolRequest
from msal_lightning.strategies import KCenter

TINY = [
    "--config", "digits", "--trainer.max_steps", "10", "--trainer.accelerator", "cpu", "--trainer.precision", "32-true",
    "--loop.query_budget", "30", "--loop.query_size", "30", "--model.backbone.width", "4", "--loop.pool_error", "true",
    "--data.eval_batch_size", "100",
]  # fmt: skip


class Here:
    """Takes Ray's place: request and parts are copied as they would be between processes."""

    num_cores = 2
    asked: ClassVar[list[int]] = []

    def close(self):
        """As Ray's, for the end of a run."""

    def __call__(self, request, num_parts, check):
        check()
        self.asked.append(num_parts)
        shared = pickle.loads(pickle.dumps(request))
        parts = [score_part(shared, part, num_parts) for part in range(num_parts)]
        assert np.array_equal(shared.labeled_at, request.labeled_at)
        return pickle.loads(pickle.dumps(parts[::-1]))


@pytest.fixture
def in_parts(monkeypatch):
    monkeypatch.setattr(msal_lightning.cli.fit, "RayParts", Here)
    monkeypatch.setattr(Here, "asked", [])


def results(folder):
    records = [json.loads(file.read_text()) for file in sorted(folder.glob("rounds/*.json"))]
    return (folder / "ledger.csv").read_bytes(), [
        {name: value for name, value in record.items() if name not in ("seconds", "digest")} for record in records
    ]


@pytest.mark.parametrize(
    "query",
    [
        ["CEAL", "--query.threshold", "0.2"],  # pseudo-labels
        ["ALFAMix"],  # sees the labeled set with its labels, and calls the head
        ["BatchBALD", "--query.mc_samples", "4", "--loop.pool_limit", "301"],  # one mask for all images
        *(
            pytest.param(query, marks=pytest.mark.slow)
            for query in (
                ["MSALD"],
                ["Entropy", "--query.mc_samples", "3"],
                ["BADGE", "--loop.pool_limit", "350", "--loop.pool_error", "false"],
            )
        ),
    ],
    ids=lambda query: query[0],
)
def test_same_run(tmp_path, in_parts, query):
    for executor in ("trainer", "ray"):
        options = ["--query", *query, "--query_executor", executor, "--run_dir", str(tmp_path / executor)]
        assert main(["fit", *TINY, *options]) == 0
    assert results(tmp_path / "trainer") == results(tmp_path / "ray")
    assert set(Here.asked) <= {3, 4}  # two per core, but no more than batches


def test_features_in_files(tmp_path, in_parts):
    rng = np.random.default_rng(0)
    for k in range(3):
        np.save(tmp_path / f"features-{k:03d}.npy", rng.standard_normal((100, 8)).astype(np.float16))
    np.save(tmp_path / "labels.npy", np.arange(300) % 4)
    data = ["--config", "embeddings", "--data.root", str(tmp_path), "--data.eval_batch_size", "32"]
    sizes = ["--loop.initial_size", "20", "--loop.query_size", "20", "--loop.query_budget", "40"]
    for executor in ("trainer", "ray"):
        options = ["--trainer.max_steps", "20", "--query_executor", executor, "--query_parts", "100"]
        assert main(["fit", *data, *sizes, *options, "--run_dir", str(tmp_path / executor)]) == 0
    assert results(tmp_path / "trainer") == results(tmp_path / "ray")
    assert Here.asked == [7, 7]  # 220 and 200 rows in batches of 32


def test_the_labels_of_the_labeled_set_are_sent_and_no_others(fresh_digits):
    fresh_digits.draw_initial(40)
    numbers, none = torch.tensor([0, 1, 2, 3, 4, 5, 6, 7, 3, 8]), torch.empty(0, dtype=torch.int64)
    fresh_digits.change_classes(ClassChange(tuple("012345679"), numbers, none, none, none, none))
    model = MSALClassifier(9, 1, lambda channels: SmallCNN(channels, width=4))
    request = PoolRequest.of(Query(KCenter(), 5), fresh_digits, model, {}, "32-true")
    there = Digits()
    there.setup()
    pickle.loads(pickle.dumps(request)).prepare(there, model, 0, 1)
    assert torch.equal(there.labels, fresh_digits.labels)
    assert (there.labels >= 0).sum() == 40
    assert there.class_names == tuple("012345679")
    assert torch.equal(there.hidden_labels.all(), fresh_digits.hidden_labels.all())  # for the error rate on the pool


def test_what_does_not_work_in_parts(tmp_path, in_parts, capsys):
    for options, message in (
        (["--query_parts", "0"], "expected query_parts to be at least 1, got 0"),
        (["--loop.keep_embeddings", "10"], "expected query_executor trainer with loop.keep_embeddings, got ray"),
    ):
        assert main(["fit", *TINY, "--query_executor", "ray", "--run_dir", str(tmp_path / "run"), *options]) == 2
        assert message in capsys.readouterr().err
