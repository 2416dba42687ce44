"""Loggers of Lightning by class_path: one version for a run, interrupted or not."""

import csv
import sys
from itertools import pairwise

import pytest

from msal_lightning.cli.main import main
from msal_lightning.runs.records import read_records

TINY = [
    "--config", "digits", "--trainer.max_epochs", "2", "--trainer.accelerator", "cpu", "--loop.query_budget", "40",
    "--model.backbone.width", "4", "--loop.checkpoint_seconds", "0", "--data.batch_size", "32",
    "--trainer.callbacks+=theirs.Interrupt", "--trainer.callbacks+=LearningRateMonitor",
    "--trainer.callbacks.logging_interval=epoch",
]  # fmt: skip


def interrupted(theirs, run, *logger):
    """A run that goes down in its last epoch, with one epoch of that round saved, and is resumed."""
    command = ["fit", *TINY, "--run_dir", str(run), *logger]
    theirs.Interrupt.at = (1, 1)
    assert main(command) == 2
    theirs.Interrupt.at = None
    assert main(command) == 0
    assert main(command) == 0  # finished: nothing is told twice


def check(run, points):
    """Of ``tag -> [(step, value), ...]``: each epoch once, in order, as in the files."""
    rows = [
        row for file in sorted(run.glob("fits/*/metrics.csv")) for row in csv.DictReader(file.read_text().splitlines())
    ]
    assert [value for _, value in points["train_loss"]] == pytest.approx(
        [float(row["train_loss"]) for row in rows if row["train_loss"]]
    )
    assert len(points["train_loss"]) == 4
    assert [value for _, value in points["epoch"]] == [0, 1, 2, 3]
    for tag in ("train_loss", "lr-Adam"):
        assert all(a < b for (a, _), (b, _) in pairwise(points[tag])), tag
    assert len(points["lr-Adam"]) == 4
    records = read_records(run)
    assert [step for step, _ in points["loop/accuracy"]] == [40, 80]
    assert [value for _, value in points["loop/accuracy"]] == pytest.approx([r.accuracy for r in records])
    assert points["final_accuracy"][0][1] == pytest.approx(records[-1].accuracy)
    assert "accuracy" not in points  # the test's own row: it is in loop/* already


def test_a_tensorboard_run_is_one_version(tmp_path, theirs):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = tmp_path / "board"
    interrupted(theirs, tmp_path / "run", "--logger", "TensorBoardLogger", "--logger.save_dir", str(board))
    (version,) = board.glob("lightning_logs/*")
    assert version.name == "version_0"
    found = EventAccumulator(str(version)).Reload()
    check(tmp_path / "run", {t: [(e.step, e.value) for e in found.Scalars(t)] for t in found.Tags()["scalars"]})


def test_a_csv_logger_of_lightning_is_one_version(tmp_path, theirs):
    interrupted(theirs, tmp_path / "run", "--logger", "CSVLogger", "--logger.save_dir", str(tmp_path / "mine"))
    (file,) = tmp_path.glob("mine/lightning_logs/*/metrics.csv")
    points = {}
    for row in csv.DictReader(file.read_text().splitlines()):
        for tag, value in row.items():
            if value and tag != "step":
                points.setdefault(tag, []).append((int(row["step"]), float(value)))
    check(tmp_path / "run", points)


@pytest.mark.filterwarnings("ignore")  # MLflow's own, of the libraries below it
def test_an_mlflow_run_is_one_run(tmp_path, theirs):
    pytest.importorskip("mlflow")
    from mlflow.tracking import MlflowClient

    uri = f"sqlite:///{tmp_path}/mlflow.db"
    interrupted(theirs, tmp_path / "run", "--logger", "MLFlowLogger", "--logger.tracking_uri", uri)
    client = MlflowClient(uri)
    (run,) = client.search_runs([e.experiment_id for e in client.search_experiments()])
    points = {
        tag: sorted((m.step, m.value) for m in client.get_metric_history(run.info.run_id, tag))
        for tag in run.data.metrics
    }
    check(tmp_path / "run", points)
    assert run.data.params["seed"] == "0"


@pytest.mark.parametrize(
    ("logger", "reason"),
    [
        (["--logger", "TensorBoardLogger", "--logger.save_dir", "x"], "tensorboard"),
        (["--logger", "CometLogger"], "comet"),
    ],
)
def test_a_logger_that_cannot_be_made_says_why(tmp_path, monkeypatch, capsys, logger, reason):
    from lightning.pytorch.loggers import tensorboard

    monkeypatch.setattr("lightning.fabric.loggers.tensorboard._TENSORBOARD_AVAILABLE", False)
    monkeypatch.setattr("lightning.fabric.loggers.tensorboard._TENSORBOARDX_AVAILABLE", False)
    monkeypatch.setitem(sys.modules, "comet_ml", None)
    assert tensorboard
    config = ["--config", "digits", "--run_dir", str(tmp_path / "run")]
    assert main(["fit", *config, *logger]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "logger" in line
    assert "cannot be made (" in line
    assert reason in line
    assert "set logger to csv" in line
    assert not (tmp_path / "run").exists()
