"""Where the curves go, read back from what was written."""

import json
import os
import struct
import subprocess
import sys
import time
from itertools import pairwise

import pytest
from lightning.pytorch.loggers import CSVLogger
from wandb.proto.wandb_internal_pb2 import Record

from msal_lightning.cli import main
from msal_lightning.runs import Purchase, RoundRecord, RunDirectory, read_records
from msal_lightning.tracking import LightningTracker, WandbTracker

TINY = [
    "--config", "digits", "--trainer.max_epochs", "1", "--trainer.accelerator", "cpu", "--loop.query_budget", "80",
    "--model.backbone.width", "4",
]  # fmt: skip


def read_wandb(folder):
    """All records of the one offline run in a folder, once its writer, a process of its own, has written the last."""
    (file,) = folder.glob("wandb/offline-run-*/run-*.wandb")
    for _ in range(200):
        records = parse_wandb(file.read_bytes())
        if any(record.WhichOneof("record_type") == "exit" for record in records):
            return records
        time.sleep(0.1)
    raise AssertionError(f"{file} never ended")


def parse_wandb(data):
    """The records of a LevelDB log of protocol buffers, as far as it is written."""
    position, part, records = 7, b"", []
    while position + 7 <= len(data):
        if 32768 - position % 32768 < 7:
            position += 32768 - position % 32768
            continue
        _, length, kind = struct.unpack_from("<IHB", data, position)
        if position + 7 + length > len(data):
            break
        part += data[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # full, last
            record = Record()
            record.ParseFromString(part)
            records.append(record)
            part = b""
    return records


def history(records):
    rows = []
    for record in records:
        if record.WhichOneof("record_type") == "history":
            items = record.history.item
            rows.append({item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items})
    return rows


def summary(records):
    values = {}
    for record in records:
        if record.WhichOneof("record_type") == "summary":
            values.update({i.key or "/".join(i.nested_key): json.loads(i.value_json) for i in record.summary.update})
    return values


def curve(records):
    return [(row["loop/num_labeled"], row["loop/accuracy"]) for row in history(records) if "loop/accuracy" in row]


@pytest.fixture
def offline(monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")


def test_wandb_has_one_run_with_the_whole_curve(tmp_path, offline):
    assert main(["fit", *TINY, "--logger", "wandb", "--run_dir", str(tmp_path / "run")]) == 0
    rounds = read_records(tmp_path / "run")
    records = read_wandb(tmp_path / "run")
    assert curve(records) == [(record.num_labeled, record.accuracy) for record in rounds]

    (start,) = [record.run for record in records if record.WhichOneof("record_type") == "run"]
    assert start.run_group == "Digits-MSALD-prototype"
    assert start.project == "msal_lightning"
    config = {item.key: json.loads(item.value_json) for item in start.config.update}
    assert config["loop"]["query_size"] == 40
    assert config["query"]["init_args"]["beta"] == 5.0

    metrics = [record.metric for record in records if record.WhichOneof("record_type") == "metric"]
    assert any(m.glob_name == "loop/*" and m.step_metric == "loop/num_labeled" for m in metrics)
    assert summary(records)["final_accuracy"] == rounds[-1].accuracy
    trapezoids = sum((a.accuracy + b.accuracy) / 2 for a, b in pairwise(rounds))
    assert summary(records)["AUBC"] == pytest.approx(trapezoids / 2)
    fits = {key for row in history(records) for key in row if key.endswith("train_loss")}
    assert fits == {f"round_{k:03d}-train_loss" for k in range(3)}


def test_wandb_of_a_resumed_run_has_the_earlier_rounds_too(tmp_path, offline):
    directory = RunDirectory(tmp_path / "run", {"seed": 0})
    rounds = [
        RoundRecord(
            k, 10 + k, 90, {"accuracy": 0.1 * k}, {"fit": 1.0}, None, [1, 0], Purchase([k], [0]), Purchase(), {}
        )
        for k in range(3)
    ]
    directory.open()
    tracker = WandbTracker(directory, "group")
    tracker.start(rounds[:2])
    tracker.log_round(rounds[2])
    tracker.finish({"AUBC": 0.1})
    assert [n for n, _ in curve(read_wandb(tmp_path / "run"))] == [10, 11, 12]
    first = (tmp_path / "run" / "wandb_id").read_text()
    WandbTracker(directory, "group")
    assert (tmp_path / "run" / "wandb_id").read_text() == first


def test_wandb_without_an_account_says_what_to_do(tmp_path):
    stranger = {key: value for key, value in os.environ.items() if not key.startswith("WANDB")}
    done = subprocess.run(
        [sys.executable, "-m", "msal_lightning", "fit", *TINY, "--logger", "wandb", "--run_dir", "run"],
        cwd=tmp_path, env={**stranger, "HOME": str(tmp_path), "NETRC": str(tmp_path / "netrc")},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "WANDB_MODE=offline" in done.stderr.splitlines()[-1]


def test_wandb_takes_more_classes_than_a_histogram_has_bins(tmp_path, offline):
    directory = RunDirectory(tmp_path / "run", {"seed": 0})
    directory.open()
    tracker = WandbTracker(directory, "group")
    tracker.start([])
    counts = [1] * 1000
    tracker.log_round(RoundRecord(0, 10, 9, {"accuracy": 0.1}, {"fit": 1.0}, None, counts, Purchase(), Purchase(), {}))
    tracker.finish({"AUBC": 0.1})
    assert curve(read_wandb(tmp_path / "run")) == [(10, 0.1)]


def test_csv_keeps_the_losses_of_each_fit(tmp_path):
    assert main(["fit", *TINY, "--run_dir", str(tmp_path / "run")]) == 0
    for k in range(3):
        header = (tmp_path / "run" / "fits" / f"{k:03d}" / "metrics.csv").read_text().splitlines()[0]
        assert "train_loss" in header


def test_any_logger_of_lightning_gets_the_curve_over_labels(tmp_path):
    tracker = LightningTracker(CSVLogger(tmp_path, name="mine", version=0))
    rounds = [
        RoundRecord(k, 10 + k, 90, {"accuracy": 0.1 * k}, {"fit": 1.0}, None, [], Purchase(), Purchase(), {})
        for k in range(2)
    ]
    tracker.start([])
    for record in rounds:
        tracker.log_round(record)
    tracker.finish({"AUBC": 0.1})
    lines = (tmp_path / "mine" / "version_0" / "metrics.csv").read_text().splitlines()
    columns = lines[0].split(",")
    points = [dict(zip(columns, line.split(","), strict=True)) for line in lines[1:]]
    assert [(p["step"], float(p["loop/accuracy"])) for p in points] == [("10", 0.0), ("11", 0.1)]
