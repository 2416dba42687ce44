"""``extend``, ``finish``, ``correct`` and ``resume`` as a user gives them."""

import csv
import gzip
import json
import shutil

import pytest
import torch

from msal_lightning.cli.main import main
from msal_lightning.runs.records import read_records

TINY = [
    "fit", "--config", "digits", "--trainer.max_steps", "8", "--trainer.accelerator", "cpu", "--loop.query_size", "20",
    "--model.backbone.width", "4", "--loop.keep_checkpoints", "last",
]  # fmt: skip


def fit(run, budget, *more):
    assert main([*TINY, "--loop.query_budget", str(budget), "--run_dir", str(run), *more]) == 0
    return run


def result(run):
    """All that does not depend on the speed of the machine."""
    with (run / "curve.csv").open(newline="") as text:
        curve = [{k: v for k, v in row.items() if not k.startswith("seconds")} for row in csv.DictReader(text)]
    records = [json.loads(file.read_text()) for file in sorted((run / "rounds").glob("*.json"))]
    for record in records:
        del record["seconds"], record["digest"]
    weights = {file.name: torch.load(file)["state_dict"] for file in (run / "checkpoints").glob("*")}
    return {
        "curve": curve,
        "records": records,
        "ledger": (run / "ledger.csv").read_bytes(),
        "weights": {(file, name): value.numpy().tobytes() for file, s in weights.items() for name, value in s.items()},
        "losses": {file.parent.name: file.read_bytes() for file in run.glob("fits/*/metrics.csv")},
    }


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """``short`` with 40 queried labels, ``long`` with 80."""
    folder = tmp_path_factory.mktemp("runs")
    return {name: fit(folder / name, budget) for name, budget in (("short", 40), ("long", 80))}


@pytest.fixture
def short(runs, tmp_path):
    return shutil.copytree(runs["short"], tmp_path / "run")


def test_an_extended_run_is_the_run_that_began_with_the_larger_budget(runs, short, capsys):
    assert main(["extend", str(short), "--labels", "40", "--reason", "more"]) == 0
    assert result(short) == result(runs["long"])
    assert main([*TINY, "--loop.query_budget", "40", "--run_dir", str(short)]) == 0  # the command that began the run
    assert "is finished" in capsys.readouterr().out
    amendment = json.loads((short / "amendments/001.json").read_text())
    assert amendment["change"].items() >= {"old": 80, "new": 120}.items()
    assert (amendment["kind"], amendment["reason"], amendment["before_round"]) == ("extend", "more", 3)
    assert main(["status", str(short)]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "5 of 5 rounds, 120 of 120 labels" in said
    assert '40 more labels: 120 instead of 80 (known from round 3 on) — "more"' in said


@pytest.mark.parametrize("query", ["BALD", "BADGE", "Random", "CEAL"])
def test_draws_of_a_strategy_go_on_as_they_would_have(query, tmp_path):
    more = ["--query", query, "--loop.pool_limit", "300"]
    if query == "CEAL":  # its threshold would fall more slowly over more rounds; here it stays
        more += ["--query.threshold", "2.299", "--query.decay", "0"]
    run = fit(tmp_path / "run", 20, *more)
    assert main(["extend", str(run), "--labels", "20"]) == 0
    assert result(run) == result(fit(tmp_path / "whole", 40, *more))


def test_a_model_that_was_not_kept_is_fitted_again(runs, short):
    shutil.rmtree(short / "checkpoints")
    assert main(["extend", str(short), "--rounds", "2"]) == 0
    assert result(short) == result(runs["long"])


def test_steps_of_an_extension_and_a_run_that_is_not_finished(runs, tmp_path, capsys):
    run = fit(tmp_path / "run", 20)
    assert main(["extend", str(run), "--labels", "20", "--later"]) == 0
    assert main(["extend", str(run), "--labels", "20", "--later"]) == 0
    assert "recorded already" in capsys.readouterr().out
    assert main(["extend", str(run), "--labels", "20", "--later", "--again"]) == 0
    assert main(["extend", str(run), "--rounds", "1", "--later"]) == 0
    assert len([*(run / "amendments").iterdir()]) == 2
    assert main(["extend", str(run), "--labels", "10", "--later"]) == 0
    assert main(["extend", str(run), "--labels", "10", "--again"]) == 0
    assert result(run)["records"][:3] == result(runs["long"])["records"][:3]
    assert [record.num_labeled for record in read_records(run)] == [40, 60, 80, 100, 110, 120]


def test_a_run_of_its_initial_set_alone_is_extended(runs, tmp_path):
    run = fit(tmp_path / "run", 0)
    prints = (run / "images.jsonl.gz").read_bytes()
    (run / "images.jsonl.gz").write_bytes(
        gzip.compress(gzip.decompress(prints).replace(b'"train", "", "', b'"train", "", "0', 1))
    )
    assert main(["extend", str(run), "--labels", "80"]) == 2  # the images are compared as in any other round
    (run / "images.jsonl.gz").write_bytes(prints)
    assert main(["extend", str(run), "--labels", "80"]) == 0
    assert result(run) == result(runs["long"])


def test_a_run_ends_early_with_the_labels_that_it_has_and_goes_on_later(runs, tmp_path):
    run = fit(tmp_path / "run", 80)
    for name in ("rounds/002.json", "rounds/003.json", "rounds/004.json"):  # as after a kill in round 2
        (run / name).unlink()
    assert main(["finish", str(run)]) == 0
    assert result(run)["ledger"] == result(runs["short"])["ledger"]
    assert result(run)["weights"] == result(runs["short"])["weights"]
    before = result(run)
    assert main(["finish", str(run)]) == 0  # nothing is left to do
    assert result(run) == before
    assert main(["extend", str(run), "--labels", "40"]) == 0
    assert result(run)["records"] == result(runs["long"])["records"]


def ledger(run):
    return csv.DictReader((run / "ledger.csv").read_text().splitlines())


def corrections(run, number):
    """A file that moves the first labels of round 1 to the next class, and the labels by index."""
    rows = [row for row in ledger(run) if row["round"] == "1"][:number]
    new = {int(row["index"]): (int(row["label"]) + 1) % 10 for row in rows}
    file = run.parent / "corrected.csv"
    file.write_text("path,label\n" + "".join(f"{index},{label}\n" for index, label in new.items()))
    return file, new


def split_of(run, round):
    """Labels by index that the model of a round was trained on."""
    content = torch.load(run / f"checkpoints/round-{round:03d}.ckpt")
    (split,) = (part for part in content.values() if isinstance(part, dict) and "labeled_at" in part)
    index = (split["labeled_at"] >= 0).nonzero()[:, 0]
    return dict(zip(index.tolist(), split["labels"][index].tolist(), strict=True))


def test_later_fits_use_corrected_labels(runs, short, capsys):
    records = {file: file.read_bytes() for file in short.glob("rounds/*")}
    file, new = corrections(short, 3)
    assert main(["correct", str(short), str(file), "--reason", "mixed up"]) == 0
    assert "3 labels corrected" in capsys.readouterr().out
    assert main(["correct", str(short), str(file)]) == 2
    assert "that differ from those of the run, got none" in capsys.readouterr().err
    assert main(["extend", str(short), "--labels", "20"]) == 0
    assert {int(r["index"]): int(r["corrected"]) for r in ledger(short) if r["corrected"]} == new
    out = short.parent / "labels.csv"
    assert main(["labels", str(short), "--out", str(out), "--format", "csv"]) == 0
    rows = csv.DictReader(out.read_text().splitlines())
    assert new.items() <= {int(row["index"]): int(row["label"]) for row in rows}.items()
    first = {file: file.read_bytes() for file in sorted(records)[:2]}
    assert first.items() <= records.items()
    # round 2 chose with the model that it had, round 3 learned the new labels
    assert read_records(short)[2].queried == read_records(runs["long"])[2].queried
    before = split_of(runs["short"], 2)
    trained = split_of(short, 3)
    rows = [row for row in csv.DictReader((short / "per_class.csv").read_text().splitlines()) if row["round"] == "3"]
    assert [int(row["labeled"]) for row in rows] == [[*trained.values()].count(c) for c in range(10)]
    assert {index: label for index, label in trained.items() if index in before} == before | new
    again = shutil.copytree(runs["short"], short.parent / "again")
    shutil.copytree(short / "amendments", again / "amendments")
    shutil.rmtree(again / "checkpoints")  # the fit of round 2 is repeated with the former labels
    assert main(["resume", str(again)]) == 0
    assert result(again) == result(short)
    assert main(["replay", "--run", str(short), "--run_dir", str(short.parent / "replay")]) == 0
    rows = ledger(short.parent / "replay")
    assert new.items() <= {int(row["index"]): int(row["label"]) for row in rows}.items()


def test_a_finished_run_with_corrections_trains_once_more(short):
    file, new = corrections(short, 2)
    assert main(["correct", str(short), str(file)]) == 0
    assert main(["finish", str(short)]) == 0
    assert [record.num_labeled for record in read_records(short)] == [40, 60, 80, 80]
    assert new.items() <= split_of(short, 3).items()
    assert main(["extend", str(short), "--labels", "20"]) == 0
    assert [record.num_labeled for record in read_records(short)] == [40, 60, 80, 80, 100]


def test_a_run_of_its_initial_set_alone_is_corrected_and_opened_again(tmp_path):
    run = fit(tmp_path / "run", 0)
    old = read_records(run)[0].initial
    new = {index: (label + 1) % 10 for index, label in zip(old.index[:2], old.label[:2], strict=True)}
    (tmp_path / "new.csv").write_text("path,label\n" + "".join(f"{k},{label}\n" for k, label in new.items()))
    assert main(["correct", str(run), str(tmp_path / "new.csv")]) == 0
    assert main(["finish", str(run)]) == 0
    assert main(["extend", str(run), "--labels", "20"]) == 0
    assert new.items() <= split_of(run, 2).items()
    (run / "rounds" / "002.json").unlink()
    assert main(["resume", str(run)]) == 0
    assert [record.num_labeled for record in read_records(run)] == [40, 40, 60]


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["extend", "RUN"], "--labels or --rounds to be a positive number"),
        (["extend", "RUN", "--labels", "0"], "got --labels 0"),
        (["extend", "RUN", "--labels", "3", "--rounds", "2"], "got --labels 3 and --rounds 2"),
        (["extend", "RUN", "--labels", "5000"], "expected at most 1,217 more labels"),
        (["extend", "RUN", "--labels", "20", "--loop.query_size", "30"], "query_size was 20, now 30"),
        (["extend", "NOWHERE", "--labels", "20"], "to be a run directory"),
        (["resume", "NOWHERE"], "expected RUN to be a run directory"),
        (["resume", "RUN", "--run_dir", "other"], "a run keeps its run_dir"),
        (["correct", "RUN", "NOWHERE.csv"], "NOWHERE.csv"),
    ],
)
def test_mistakes_are_one_sentence_and_change_nothing(short, command, message, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    before = result(short)
    assert main([str(short) if word == "RUN" else word for word in command]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert result(short) == before
