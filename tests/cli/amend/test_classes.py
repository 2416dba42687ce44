"""``classes``: runs whose classes change, against runs that had the later classes from the start."""

import csv
import json
import re
import shutil

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from msal_lightning.cli.main import main
from msal_lightning.runs.records import read_records

DIGITS = load_digits()
NAMES = [f"c{c}" for c in range(10)]
MERGED = ["c0", "c1", "c2", "both", "c4", "c5", "c6", "c7", "c9"]  # c3 and c8; the lowest number stays


def write(folder, classes, label):
    """Features with labels in ``classes``; every fourth row is a test row."""
    folder.mkdir()
    np.save(folder / "features.npy", DIGITS.data.astype(np.float16))
    parts = ["test" if i % 4 == 0 else "train" for i in range(len(DIGITS.target))]
    lines = [f"{label(i, c)},{part}\n" for i, (c, part) in enumerate(zip(DIGITS.target, parts, strict=True))]
    (folder / "labels.csv").write_text("label,split\n" + "".join(lines))
    return ["--data.root", str(folder), "--data.classes", str(classes)]


def fit(data, run, budget, *more):
    argv = [
        "fit", "--config", "embeddings", *data, "--model.backbone", "MLP", "--trainer.max_steps", "8",
        "--trainer.max_epochs", "-1", "--trainer.accelerator", "cpu", "--trainer.precision", "32-true",
        "--loop.initial_size", "40", "--loop.query_size", "20", "--loop.query_budget", str(budget), "--query", "Random",
        "--run_dir", str(run), *more,
    ]  # fmt: skip
    assert main(argv) == 0
    return run


def forget(run, first):
    """As if the run had been killed in a round."""
    for file in run.glob("rounds/*.json"):
        if int(file.stem) >= first:
            file.unlink()
    shutil.rmtree(run / "checkpoints")


def weights(run):
    found = {file.name: torch.load(file)["state_dict"] for file in run.glob("checkpoints/*")}
    return {(file, name): value.numpy().tobytes() for file, state in found.items() for name, value in state.items()}


def results(run, first):
    """All that rounds of two runs with the same classes have in common."""
    records = [json.loads(file.read_text()) for file in sorted(run.glob("rounds/*.json"))[first:]]
    kept = ("num_labeled", "metrics", "bought", "class_counts", "test_classes", "num_test")
    return [{key: record[key] for key in kept} for record in records], weights(run)


def table(file):
    return list(csv.DictReader(file.read_text().splitlines()))


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Runs of 10 and of 9 classes, with the same images; the class ``both`` is c3 and c8."""
    folder = tmp_path_factory.mktemp("classes")
    ten = write(folder / "ten", NAMES, lambda _, c: NAMES[c])
    nine = write(folder / "nine", MERGED, lambda _, c: "both" if c in (3, 8) else NAMES[c])
    return {"ten": fit(ten, folder / "run10", 60), "nine": fit(nine, folder / "run9", 60)}


@pytest.fixture
def begun(runs, tmp_path):
    """Two rounds of a run."""

    def copy(name):
        run = shutil.copytree(runs[name], tmp_path / name)
        forget(run, 2)
        return run

    return copy


def test_merged_classes_are_those_of_a_run_that_always_had_them(begun, runs, capsys):
    run = begun("ten")
    before = (run / "rounds/001.json").read_bytes()
    command = ["classes", str(run), "merge", "c8,c3", "--into", "both", "--reason", "alike"]
    assert main(command) == 0
    assert main(command) == 0
    assert "recorded already" in capsys.readouterr().out
    assert len([*run.glob("amendments/*")]) == 1
    assert main(["resume", str(run)]) == 0
    assert results(run, 2) == results(runs["nine"], 2)
    assert (run / "rounds/001.json").read_bytes() == before
    records = read_records(run)
    assert [record.class_names for record in records] == [NAMES, None, MERGED, None]
    assert records[2].class_numbers == [0, 1, 2, 3, 4, 5, 6, 7, 3, 8]
    assert [record.class_numbers for record in (records[0], records[1], records[3])] == [None] * 3
    later = [row for row in table(run / "per_class.csv") if int(row["round"]) >= 2]
    assert later == [row for row in table(runs["nine"] / "per_class.csv") if int(row["round"]) >= 2]
    rows = table(run / "ledger.csv")
    now = [row["corrected"] or row["class_name"] for row in rows]
    assert now == [row["class_name"] for row in table(runs["nine"] / "ledger.csv")]
    assert {row["class_name"] for row in rows if row["corrected"]} == {"c3", "c8"}
    assert {int(row["round"]) for row in rows if row["corrected"]} == {0, 1, 2}  # queried before round 2


def test_a_finished_run_tests_the_new_classes_before_it_queries_further(runs, tmp_path, capsys):
    run = shutil.copytree(runs["ten"], tmp_path / "run")
    assert main(["extend", str(run), "--labels", "20", "--later"]) == 0  # the old model does not query for it
    assert main(["classes", str(run), "merge", "c3", "c8", "--into", "both"]) == 0
    assert main(["resume", str(run)]) == 0
    records = read_records(run)
    assert [record.num_labeled for record in records] == [40, 60, 80, 100, 100, 120]
    assert not records[3].queried.index
    assert len(records[5].test_classes.images) == 9
    capsys.readouterr()
    assert main(["status", str(run)]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "6 of 6 rounds, 120 of 120 labels" in said
    assert "9 classes: 4 100" in said
    area = (records[4].accuracy + records[5].accuracy) / 2
    assert main(["report", str(run), "--out", str(tmp_path / "report")]) == 0
    page = (tmp_path / "report/report.md").read_text()
    assert f"{area:.4f}" in page
    assert "AUBC and curve are of round 4 on, with 9 classes" in page
    assert main(["replay", "--run", str(run), "--run_dir", str(tmp_path / "replay")]) == 2
    assert "classes stayed the same in loop.replay" in capsys.readouterr().err
    after = results(run, 0)
    forget(run, 4)
    assert main(["resume", str(run)]) == 0
    assert results(run, 0) == after


def test_a_split_class_is_that_of_a_run_that_always_had_two(begun, runs, tmp_path, capsys):
    run, file = begun("nine"), tmp_path / "both.csv"
    assert main(["classes", str(run), "split", "both", "--list", str(file)]) == 0
    rows = table(file)
    assert len(rows) == sum((DIGITS.target == 3) | (DIGITS.target == 8))
    assert main(["classes", str(run), "split", "both", str(file)]) == 2
    assert re.search(r"got none for '2', .* training and \d+ test images", capsys.readouterr().err)
    split = np.arange(len(DIGITS.target)) % 4 == 0
    target = {"train": DIGITS.target[~split], "test": DIGITS.target[split]}
    lines = [f"{r['path']},{r['split']},{'c3' if target[r['split']][int(r['path'])] == 3 else 'z8'}\n" for r in rows]
    file.write_text("path,split,label\n" + "".join(lines[1:]))
    assert main(["classes", str(run), "split", "both", str(file)]) == 2
    assert not [*run.glob("amendments/*")]
    file.write_text("path,split,label\n" + "".join(lines))
    assert main(["classes", str(run), "split", "both", str(file)]) == 0
    assert main(["classes", str(run), "split", "both", str(file)]) == 0
    assert "recorded already" in capsys.readouterr().out
    assert main(["resume", str(run)]) == 0
    new = ["c0", "c1", "c2", "c3", "c4", "c5", "c6", "c7", "c9", "z8"]
    data = write(tmp_path / "data", new, lambda _, c: "z8" if c == 8 else NAMES[c])
    whole = fit(data, tmp_path / "whole", 60)
    assert results(run, 2) == results(whole, 2)
    now = [row["corrected"] or row["class_name"] for row in table(run / "ledger.csv")]
    assert now == [row["class_name"] for row in table(whole / "ledger.csv")]
    assert read_records(run)[2].class_numbers == [0, 1, 2, -1, 4, 5, 6, 7, 8]


def test_new_names_are_used_at_once_and_numbers_stay(runs, tmp_path, capsys):
    run = shutil.copytree(runs["nine"], tmp_path / "run")
    assert main(["classes", str(run), "rename", "both=three or eight", "c0=zero"]) == 0
    for name in ("labels", "more"):
        out = tmp_path / f"{name}.csv"
        assert main(["labels", str(run), "--out", str(out), "--format", "csv"]) == 0
        said = {row["label"] for row in table(out)}
        assert {"zero", "three or eight"} < said
        assert not {"both", "c0"} & said
        if name == "labels":
            assert main(["status", str(run)]) == 0
            assert "three or eight" in capsys.readouterr().out
            assert main(["extend", str(run), "--labels", "20"]) == 0
    records = read_records(run)
    assert [record.num_labeled for record in records] == [40, 60, 80, 100, 120]
    assert (records[4].class_names[0], records[4].class_names[3]) == ("zero", "three or eight")
    assert records[4].class_numbers == [*range(9)]
    out = tmp_path / "predicted.csv"
    assert main(["predict", str(run), str(tmp_path.parent), "--out", str(out)]) == 2  # no features there
    one = next(row for row in table(run / "ledger.csv") if row["corrected"] == "zero")
    (tmp_path / "fix.csv").write_text(f"path,label\n{one['index']},three or eight\n")
    assert main(["correct", str(run), str(tmp_path / "fix.csv")]) == 0
    rows = {row["index"]: row for row in table(run / "ledger.csv")}
    assert rows[one["index"]]["corrected"] == "three or eight"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["merge", "c3"], "expected --into with merge"),
        (["rename", "c3=x", "--into", "c3"], "expected --into with merge"),
        (["merge", "c3", "--into", "x"], "two classes or more to merge"),
        (["merge", "c3,dog", "--into", "x"], "'c4' and 5 more, got 'dog'"),
        (["merge", "c3,c4", "--into", "c5"], "no other class has for --into, got 'c5'"),
        (["merge", ",".join(NAMES), "--into", "x"], "got 'x' alone"),
        (["merge", "c1,c2", "--into", "skip"], "got 'skip', which marks"),
        (["rename", "c3"], "expected OLD=NEW"),
        (["rename", "c3=c4"], "a name that no class has, got 'c4'"),
        (["rename", "c3="], "expected the name of a class, got ''"),
        (["split", "c3"], "a class and a CSV file"),
        (["split", "dog", "x.csv"], "got 'dog'"),
        (["split", "c3", "bad.csv"], "'c4' is another class of the run"),
        (["split", "c3", "one.csv"], "two classes or more in FILE"),
        (["merge", "c1,c2", "--into", "x", "--data.root", "y"], "unknown option '--data.root'"),
    ],
)
def test_mistakes_are_one_sentence_and_change_nothing(runs, words, message, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    train = DIGITS.target[np.arange(len(DIGITS.target)) % 4 != 0]
    test = DIGITS.target[np.arange(len(DIGITS.target)) % 4 == 0]
    rows = [f"{k},{part}," for part, of in (("train", train), ("test", test)) for k, c in enumerate(of) if c == 3]
    for name, label in (("bad", "c4"), ("one", "new")):
        (tmp_path / f"{name}.csv").write_text("path,split,label\n" + "".join(f"{row}{label}\n" for row in rows))
    run = runs["ten"]
    before = (run / "ledger.csv").read_bytes()
    assert main(["classes", str(run), *words]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not [*run.glob("amendments/*")]
    assert (run / "ledger.csv").read_bytes() == before


def test_a_strategy_that_needs_three_classes_keeps_them(tmp_path, capsys):
    data = write(tmp_path / "data", ["a", "b", "c"], lambda _, c: "abc"[c % 3])
    run = fit(data, tmp_path / "run", 20, "--query", "MSAL", "--model.head", "prototype")
    assert main(["classes", str(run), "merge", "a,b", "--into", "ab"]) == 2
    assert "needs at least 3 classes, got 2" in capsys.readouterr().err
    assert not [*run.glob("amendments/*")]
