"""Where the curves go, read back from what was written."""

import csv
import json
import os
import struct
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from wandb.proto.wandb_internal_pb2 import Record

from msal_lightning import MSALClassifier
from msal_lightning.cli.main import main
from msal_lightning.datasets import Digits
from msal_lightning.models.backbones import SmallCNN
from msal_lightning.runs.directory import RunDirectory
from msal_lightning.runs.records import LabeledImages, RoundRecord, read_records
from msal_lightning.tracking import Tracking, WandbTracker
from msal_lightning.tracking.wandb_run import group_name

TINY = [
    "--config", "digits", "--trainer.max_epochs", "1", "--trainer.accelerator", "cpu", "--loop.query_budget", "80",
    "--model.backbone.width", "4",
]  # fmt: skip


def read_wandb(folder, which=0):
    """All records of an offline run in a folder, once its writer, a process of its own, has written the last."""
    file = sorted(folder.glob("wandb/offline-run-*/run-*.wandb"))[which]
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


def artifacts(records, kind):
    """Of one type: name, digest, and the staged copy of each file by its path in the artifact."""
    found = [record.artifact for record in records if record.WhichOneof("record_type") == "artifact"]
    return [
        (a.name, a.digest, {entry.path: Path(entry.local_path) for entry in a.manifest.contents})
        for a in found
        if a.type == kind
    ]


def queried_tables(records):
    """The tables of queried images, one a round: rows by column, the image as an array."""
    tables = []
    for _, _, files in artifacts(records, "run_table"):
        table = json.loads(files["queried.table.json"].read_text())
        rows = [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]
        for row in rows:
            row["image"] = np.array(Image.open(files[row["image"]["path"]]))
        tables.append(rows)
    return tables


def curve(records):
    return [(row["loop/num_labeled"], row["loop/accuracy"]) for row in history(records) if "loop/accuracy" in row]


def losses(run):
    """Of all epochs of a run, from its files."""
    rows = [
        row for file in sorted(run.glob("fits/*/metrics.csv")) for row in csv.DictReader(file.read_text().splitlines())
    ]
    return [float(row["train_loss"]) for row in rows if row["train_loss"]]


@pytest.fixture
def offline(monkeypatch, tmp_path):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "staged"))
    monkeypatch.setenv("WANDB_SILENT", "true")


@pytest.mark.slow
def test_wandb_is_told_of_other_classes(tmp_path, offline):
    assert main(["fit", *TINY, "--run_dir", str(tmp_path / "run")]) == 0
    assert main(["classes", str(tmp_path / "run"), "merge", "3,8", "--into", "both"]) == 0
    assert main(["resume", str(tmp_path / "run"), "--logger", "wandb", "--wandb_images", "2"]) == 0
    first = len(read_records(tmp_path / "run")) - 1
    records = read_wandb(tmp_path / "run")
    assert summary(records)["AUBC_from_round"] == first
    assert {row["loop/classes"] for row in history(records) if "loop/classes" in row} == {9}


def test_wandb_has_one_run_with_the_whole_curve(tmp_path, offline):
    assert main(["fit", *TINY, "--logger", "wandb", "--run_dir", str(tmp_path / "run")]) == 0
    rounds = read_records(tmp_path / "run")
    records = read_wandb(tmp_path / "run")
    assert curve(records) == [(record.num_labeled, record.accuracy) for record in rounds]

    (start,) = [record.run for record in records if record.WhichOneof("record_type") == "run"]
    assert start.run_group == group_name(yaml.safe_load((tmp_path / "run" / "config.yaml").read_text()))
    assert start.project == "msal_lightning"
    config = {item.key: json.loads(item.value_json) for item in start.config.update}
    assert (config["dataset"], config["method"]) == ("Digits", "MSAL-D")
    assert config["loop"]["query_size"] == 40
    assert config["query"]["init_args"]["beta"] == 5.0

    metrics = [record.metric for record in records if record.WhichOneof("record_type") == "metric"]
    assert any(m.glob_name == "loop/*" and m.step_metric == "loop/num_labeled" for m in metrics)
    assert summary(records)["final_accuracy"] == rounds[-1].accuracy
    trapezoids = sum((a.accuracy + b.accuracy) / 2 for a, b in pairwise(rounds))
    assert summary(records)["AUBC"] == pytest.approx(trapezoids / 2)
    assert any(m.glob_name == "fit/*" and m.step_metric == "fit/epoch" for m in metrics)
    assert (start.job_type, list(start.tags)) == ("fit", ["Digits", "MSAL-D", "prototype"])
    # nothing per round, and the test metrics once
    rows = history(records)
    assert {key for row in rows for key in row if "/" not in key} <= {"queried", "_step", "_runtime", "_timestamp"}
    assert {key.split("/")[0] for row in rows for key in row if "/" in key} == {"fit", "loop", "queried"}
    fits = [row for row in rows if "fit/epoch" in row]
    assert [(row["fit/round"], row["fit/epoch"]) for row in fits] == [(0, 0), (1, 1), (2, 2)]
    assert [row["fit/train_loss"] for row in fits] == losses(tmp_path / "run")


def test_wandb_of_a_resumed_run_has_the_earlier_rounds_too(tmp_path, offline):
    directory = RunDirectory(tmp_path / "run", {"seed": 0})
    rounds = [
        RoundRecord(
            k,
            10 + k,
            90,
            {"accuracy": 0.1 * k},
            {"fit": 1.0},
            None,
            [1, 0],
            LabeledImages([k], [0]),
            LabeledImages(),
            {},
        )
        for k in range(3)
    ]
    directory.open()
    tracker = Tracking(directory, WandbTracker(directory), pytest.fail)
    tracker.start(rounds[:2])
    tracker.log_round(rounds[2])
    tracker.finish({"AUBC": 0.1})
    assert [n for n, _ in curve(read_wandb(tmp_path / "run"))] == [10, 11, 12]
    first = (tmp_path / "run" / "wandb_id").read_text()
    WandbTracker(directory)
    assert (tmp_path / "run" / "wandb_id").read_text() == first


@pytest.mark.parametrize("query", ["MSALD", "Random"])
def test_wandb_shows_what_was_queried(query, tmp_path, offline):
    more = ["--query", query, "--wandb_images", "7", "--loop.keep_checkpoints", "all", "--trainer.max_epochs", "3"]
    assert main(["fit", *TINY, *more, "--logger", "wandb", "--run_dir", str(tmp_path / "run")]) == 0
    tables = queried_tables(read_wandb(tmp_path / "run"))
    assert [len(rows) for rows in tables] == [7, 7]  # the last round buys nothing
    data = Digits()
    data.setup()
    ledger = list(csv.DictReader((tmp_path / "run" / "ledger.csv").read_text().splitlines()))
    for k, rows in enumerate(tables):
        assert [row["rank"] for row in rows] == [0, 5, 11, 17, 22, 28, 34]  # of 40, evenly spread
        assert {row["round"] for row in rows} == {k}
        index = torch.tensor([row["index"] for row in rows])
        model = MSALClassifier(10, 1, backbone=lambda channels: SmallCNN(channels, width=4)).eval()
        file = tmp_path / "run" / "checkpoints" / f"round-{k:03d}.ckpt"
        model.load_state_dict(torch.load(file, weights_only=True)["state_dict"])
        with torch.no_grad():
            predicted = model((data.images[index] / 255 - 0.305) / 0.376).argmax(dim=1)
        assert [row["predicted"] for row in rows] == [str(int(c)) for c in predicted]
        for row in rows:
            queried = next(r for r in ledger if (r["round"], r["rank"]) == (str(k + 1), str(row["rank"])))
            assert (queried["index"], queried["label"]) == (str(row["index"]), row["label"])
            assert queried["score"] == ("" if row["score"] is None else str(row["score"]))
            assert (row["image"] == data.images[row["index"], 0].numpy()).all()


def test_wandb_changes_no_result(tmp_path, offline):
    for logger in ("csv", "wandb"):
        assert main(["fit", *TINY, "--logger", logger, "--run_dir", str(tmp_path / logger)]) == 0
    for name in ("ledger.csv", "checkpoints/round-002.ckpt"):
        assert (tmp_path / "csv" / name).read_bytes() == (tmp_path / "wandb" / name).read_bytes()
    assert not (tmp_path / "csv" / "queried").exists()


def test_wandb_gets_no_image_where_none_may_leave(tmp_path, offline):
    off = ["--logger", "wandb", "--wandb_images", "0", "--run_dir", str(tmp_path / "run")]
    assert main(["fit", *TINY, *off]) == 0
    records = read_wandb(tmp_path / "run")
    assert queried_tables(records) == []
    assert not list((tmp_path / "staged").rglob("*.png"))
    assert main(["fit", *TINY, *off, "--wandb_images", "-1"]) == 2


def test_wandb_keeps_the_ledger(tmp_path, offline):
    assert main(["fit", *TINY, "--logger", "wandb", "--run_dir", str(tmp_path / "run")]) == 0
    ((name, _, files),) = artifacts(read_wandb(tmp_path / "run"), "dataset")
    assert name == f"run-{(tmp_path / 'run' / 'wandb_id').read_text().split()[0]}-ledger"
    assert {name: file.read_bytes() for name, file in files.items()} == {
        name: (tmp_path / "run" / name).read_bytes() for name in ("ledger.csv", "curve.csv", "config.yaml")
    }


def test_wandb_of_an_interrupted_run_has_each_table_once(tmp_path, offline):
    run = tmp_path / "run"
    command = ["fit", *TINY, "--logger", "wandb", "--run_dir", str(run)]
    assert main(command) == 0
    whole = read_wandb(run)
    # as a kill leaves it after the record of round 1
    (run / "rounds" / "002.json").unlink()
    (run / "wandb_id").write_text((run / "wandb_id").read_text().split()[0])
    assert main(command) == 0
    resumed = read_wandb(run, 1)
    assert [n for n, _ in curve(resumed)] == [40, 80, 120]
    assert len(artifacts(resumed, "run_table")) == 2
    # the same bytes: W&B makes no new version of what it has
    assert [a[:2] for a in artifacts(resumed, "run_table")] == [a[:2] for a in artifacts(whole, "run_table")]
    # a kill after the last record, before W&B is told of the end
    (run / "wandb_id").write_text((run / "wandb_id").read_text().split()[0])
    assert main(command) == 0
    told = read_wandb(run, 2)
    for kind in ("run_table", "dataset"):
        assert [a[:2] for a in artifacts(told, kind)] == [a[:2] for a in artifacts(resumed, kind)]
    # nothing is told of a run that has ended
    assert main(command) == 0
    assert len(list(run.glob("wandb/offline-run-*"))) == 3


def test_wandb_takes_a_run_without_an_area(tmp_path, offline):
    full = ["--loop.initial_size", "all", "--loop.query_budget", "0"]
    assert main(["fit", *TINY, *full, "--logger", "wandb", "--run_dir", str(tmp_path / "run")]) == 0
    records = read_wandb(tmp_path / "run")
    assert len(artifacts(records, "dataset")) == 1
    assert "AUBC" not in summary(records)
    assert summary(records)["final_accuracy"] > 0


def test_a_report_goes_to_wandb_whole(tmp_path, offline):
    for seed in "01":
        for query in ("Random", "MSALD"):
            run = ["--query", query, "--seed", seed, "--run_dir", str(tmp_path / "runs" / f"{query}{seed}")]
            assert main(["fit", *TINY, *run]) == 0
    out = tmp_path / "out"
    assert main(["report", str(tmp_path / "runs"), "--out", str(out), "--logger", "wandb"]) == 0
    records = read_wandb(out)
    (start,) = [record.run for record in records if record.WhichOneof("record_type") == "run"]
    assert (start.job_type, start.project, start.run_group) == ("report", "msal_lightning", "")
    ((_, _, files),) = artifacts(records, "report")
    written = ["report.csv", "report.html", "report.md", "report.tex"]
    assert {name: file.read_bytes() for name, file in files.items()} == {
        name: (out / name).read_bytes() for name in written
    }
    (panel,) = out.glob("wandb/offline-run-*/files/media/html/*.html")
    assert panel.read_bytes() == (out / "report.html").read_bytes()
    tables = {name: json.loads(next(iter(files.values())).read_text())
              for name, _, files in artifacts(records, "run_table")}  # fmt: skip
    results = next(table for name, table in tables.items() if name.endswith("results"))
    rows = [dict(zip(results["columns"], row, strict=True)) for row in results["data"]]
    expected = list(csv.DictReader((out / "report.csv").read_text().splitlines()))
    assert [{k: "" if v is None else str(v) for k, v in row.items()} for row in rows] == expected
    tests = next(table for name, table in tables.items() if name.endswith("tests"))
    assert [{*row[:3]} for row in tests["data"]] == [{"MSAL-D", "Random, prototype head", 2}]


def test_groups_are_of_runs_that_differ_by_seed_only():
    def named(seed=0, query="MSALD", head="prototype", replay=None, **options):
        return group_name(
            {
                "seed": seed,
                "run_dir": f"anywhere/{seed}",
                "logger": "wandb",
                "loop": {"query_size": 40, "replay": replay, "checkpoint_seconds": 60 + seed},
                "data": {"class_path": "msal_lightning.datasets.CIFAR10", "init_args": {"root": str(seed)}},
                "query": {"class_path": f"msal_lightning.strategies.{query}", "init_args": options},
                "model": {"head": head},
            }
        )

    assert named(0) == named(1)
    assert named().startswith("CIFAR10 MSAL-D ")
    assert named(0, replay="runs/a") == named(1, replay="runs/b")
    others = [
        named(), named(beta=10), named(replay="runs/a"), named(replay="runs/a", head="linear"), named(query="Margin"),
        named(query="Margin", head="linear"), named(query="Margin", mc_samples=10),
    ]  # fmt: skip
    assert len(set(others)) == len(others)


def test_wandb_without_an_account_says_what_to_do(tmp_path, commands, monkeypatch):
    for key in [key for key in os.environ if key.startswith("WANDB")]:
        monkeypatch.delenv(key)
    words = ["-m", "msal_lightning", "fit", *TINY, "--logger", "wandb", "--run_dir", "run"]
    done = commands.run(*words, cwd=tmp_path, HOME=str(tmp_path), NETRC=str(tmp_path / "netrc"))
    assert done.returncode == 2
    assert "WANDB_MODE=offline" in done.stderr.splitlines()[-1]


def test_wandb_takes_more_classes_than_a_histogram_has_bins(tmp_path, offline):
    directory = RunDirectory(tmp_path / "run", {"seed": 0})
    directory.open()
    tracker = Tracking(directory, WandbTracker(directory), pytest.fail)
    tracker.start([])
    counts = [1] * 1000
    tracker.log_round(
        RoundRecord(0, 10, 9, {"accuracy": 0.1}, {"fit": 1.0}, None, counts, LabeledImages(), LabeledImages(), {})
    )
    tracker.finish({"AUBC": 0.1})
    assert curve(read_wandb(tmp_path / "run")) == [(10, 0.1)]


def test_csv_keeps_the_losses_of_each_fit(tmp_path):
    assert main(["fit", *TINY, "--run_dir", str(tmp_path / "run")]) == 0
    for k in range(3):
        header = (tmp_path / "run" / "fits" / f"{k:03d}" / "metrics.csv").read_text().splitlines()[0]
        assert "train_loss" in header
