"""Weights of classes in the loss."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.utils.class_weight import compute_class_weight

from msal_lightning import MSALClassifier
from msal_lightning.cli.main import main
from msal_lightning.data.batches.loading import Batch
from msal_lightning.errors import ConfigError
from msal_lightning.models.backbones import SmallCNN
from msal_lightning.models.class_weights import balanced_weights
from msal_lightning.runs.records import read_records

TINY = [
    "fit", "--config", "digits", "--trainer.max_steps", "30", "--trainer.accelerator", "cpu", "--loop.query_size",
    "40", "--loop.initial_size", "150", "--loop.query_budget", "40", "--model.backbone.width", "4",
    "--data.imbalance", "0.05",
]  # fmt: skip


def test_weights_are_those_of_scikit_learn():
    labels = torch.tensor([0] * 90 + [1] * 9 + [3])
    expected = compute_class_weight("balanced", classes=np.array([0, 1, 3]), y=labels.numpy())
    weights = balanced_weights(labels, 5)
    assert weights[[2, 4]].tolist() == [0, 0]
    assert torch.allclose(weights[[0, 1, 3]].double(), torch.tensor(expected))
    assert balanced_weights(torch.tensor([0, 1, 2]), 3).tolist() == [1, 1, 1]
    assert balanced_weights(torch.tensor([], dtype=torch.int64), 2).tolist() == [0, 0]


def test_each_class_has_the_same_share_of_the_loss():
    class Logits(MSALClassifier):
        def forward(self, images):
            return images

    model = Logits(3, 1, SmallCNN, head="linear", class_weights="balanced")
    logits, labels = torch.randn(60, 3), torch.tensor([0] * 50 + [1] * 8 + [2] * 2)
    model._class_weights = balanced_weights(labels, 3)
    by_class = [F.cross_entropy(logits[labels == c], labels[labels == c]) for c in range(3)]
    assert torch.isclose(model.loss(Batch(torch.arange(60), logits, labels)), torch.stack(by_class).mean())


def test_a_run_with_weights_resumes_and_is_another_run(tmp_path, capsys):
    weighted = [*TINY, "--model.class_weights", "balanced", "--run_dir", str(tmp_path / "run")]
    assert main(weighted) == 0
    assert "which is slower" not in capsys.readouterr().out  # it trains in whole epochs
    records = read_records(tmp_path / "run")
    (tmp_path / "run/rounds/001.json").unlink()
    assert main(weighted) == 0
    assert [r.metrics for r in read_records(tmp_path / "run")] == [r.metrics for r in records]
    assert main([*TINY, "--run_dir", str(tmp_path / "plain")]) == 0
    plain = read_records(tmp_path / "plain")
    assert plain[0].initial == records[0].initial
    assert plain[0].metrics != records[0].metrics
    assert main([*TINY, "--run_dir", str(tmp_path / "run")]) == 2
    assert "model.class_weights was balanced, now none" in capsys.readouterr().err


def test_an_unknown_weighting_is_refused():
    with pytest.raises(ConfigError, match=r"model\.class_weights to be none or balanced, got 'auto'"):
        MSALClassifier(3, 1, SmallCNN, class_weights="auto")
