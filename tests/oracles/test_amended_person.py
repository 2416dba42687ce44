"""Runs that people label, extended, finished early and corrected."""

import csv
import json
import re

import pytest

from msal_lightning.cli.main import main
from msal_lightning.runs.records import read_records

PERSON = ["--data.unlabeled", "true", "--oracle", "Files"]


@pytest.fixture
def labeled(options, person, until_done):
    """``labeled(run, budget)``: a run that a person has labeled to its end."""

    def make(run, budget, fill=person):
        until_done(options(*PERSON, "--loop.query_budget", str(budget)), run, fill)
        return run

    return make


def contents(run):
    records = [json.loads(file.read_text()) for file in sorted(run.glob("rounds/*.json"))]
    for record in records:
        del record["seconds"], record["digest"]
    files = sorted([*run.glob("queries/*.csv"), run / "ledger.csv", run / "rounds"])
    return records, {file.name: file.read_bytes() for file in files if file.is_file()}


def go_on(run, person, waiting_for):
    """Answer and resume until nothing is asked."""
    asked = []
    while (file := waiting_for(run)) is not None:
        asked.append(file.stem)
        person(file)
        assert main(["resume", str(run)]) == 0
    return asked


@pytest.mark.parametrize("budgets", [(20,), pytest.param((0,), marks=pytest.mark.slow)])
def test_an_extended_run_asks_what_the_longer_run_asked(labeled, person, waiting_for, tmp_path, capsys, budgets):
    whole = labeled(tmp_path / "whole", 40)
    for budget in budgets:
        run = labeled(tmp_path / f"run{budget}", budget)
        assert main(["extend", str(run), "--labels", str(40 - budget)]) == 0
        file = waiting_for(run)
        person(file, most=7)  # answers that a second start must not lose
        given = file.read_bytes()
        assert main(["extend", str(run), "--labels", str(40 - budget)]) == 0  # the same command resumes
        assert file.read_bytes() == given
        capsys.readouterr()
        assert main(["status", str(run)]) == 0
        said = "".join(capsys.readouterr().out.split())  # a long path is broken
        assert f"waitingfor13of20labelsin{file}" in said
        assert f"{(budget + 20) // 20}of3rounds" in said
        go_on(run, person, waiting_for)
        assert contents(run) == contents(whole)


def test_accepted_answers_stay_when_skipped_images_are_replaced(labeled, person, waiting_for, tmp_path):
    def skipping(file):
        with file.open(newline="") as text:
            path = next(csv.DictReader(text))["path"]
        person(file, {path: "skip"} if file.stem == "round-001" else None)

    whole, run = labeled(tmp_path / "whole", 40, skipping), labeled(tmp_path / "run", 20)
    assert main(["extend", str(run), "--labels", "20"]) == 0
    skipping(waiting_for(run))
    assert main(["resume", str(run)]) == 0
    assert waiting_for(run).stem == "round-001-2"
    assert main(["resume", str(run)]) == 0  # the accepted answers of the first file are kept
    go_on(run, person, waiting_for)
    assert contents(run) == contents(whole)


def test_a_request_without_an_answer_is_withdrawn_at_the_end(labeled, options, person, waiting_for, tmp_path):
    run, short = tmp_path / "run", labeled(tmp_path / "short", 20)
    argv = options(*PERSON, "--run_dir", str(run))
    assert main(argv) == 0
    for _ in range(2):
        person(waiting_for(run))
        assert main(argv) == 0
    assert waiting_for(run).stem == "round-001"
    assert main(["finish", str(run), "--reason", "good enough"]) == 0
    assert waiting_for(run) is None
    assert (run / "ledger.csv").read_bytes() == (short / "ledger.csv").read_bytes()
    assert [r.metrics for r in read_records(run)] == [r.metrics for r in read_records(short)]
    assert main(["extend", str(run), "--labels", "20"]) == 0
    go_on(run, person, waiting_for)
    assert contents(run) == contents(labeled(tmp_path / "whole", 40))


def test_answers_that_were_given_are_trained_on_and_nothing_is_replaced(options, person, waiting_for, tmp_path):
    run = tmp_path / "run"
    argv = options(*PERSON, "--run_dir", str(run))
    assert main(argv) == 0
    person(waiting_for(run))
    assert main(argv) == 0
    file = waiting_for(run)
    assert file.stem == "round-000"
    person(file, most=12)
    assert main(["finish", str(run)]) == 0
    assert waiting_for(run) == file  # the others are waited for
    person(file, say=dict.fromkeys([line.split(",")[0] for line in file.read_text().splitlines()[1:]], "skip"))
    assert main(["resume", str(run)]) == 0
    assert waiting_for(run) is None
    records = read_records(run)
    assert [record.num_labeled for record in records] == [30, 42]
    assert len(records[0].skipped.index) == 8
    assert main(argv) == 0  # the command that began the run knows its end too


def test_a_label_is_corrected_by_path_and_class(labeled, person, waiting_for, tmp_path, capsys):
    run, file = labeled(tmp_path / "run", 20), tmp_path / "corrected.csv"
    path = read_records(run)[0].queried.path[3]
    held = dict(row.rsplit(",", 1) for row in (tmp_path / "labels.csv").read_text().splitlines()[1:])
    new = str((int(held[path]) + 1) % 10)
    for label, code, said in (
        (new, 0, f"1 label corrected: {path} {held[path]} → {new}"),
        (new, 2, "got none: nothing to do"),
        ("horse", 2, "the class 'horse' is not known"),
        ("skip", 2, f"expected a class for '{path}'"),
    ):
        file.write_text(f"label;path\n{label};{path}\n")
        assert main(["correct", str(run), str(file)]) == code
        captured = capsys.readouterr()
        assert said in captured.out + captured.err
    file.write_text("path,label\nno/such.png,3\n")
    assert main(["correct", str(run), str(file)]) == 2
    assert main(["finish", str(run)]) == 0
    (row,) = [row for row in read_records(run) if row.round == 2]
    assert row.num_labeled == 50


@pytest.mark.parametrize("corrected_at", ["the request", "the end"])
def test_the_last_model_knows_a_label_that_was_corrected(
    labeled, options, person, waiting_for, tmp_path, capsys, corrected_at
):
    """While labels are requested, the model of the round is trained already; `finish` must not end with it."""
    run, file = tmp_path / "run", tmp_path / "corrected.csv"

    def correct():
        row = list(csv.DictReader((run / "ledger.csv").read_text().splitlines()))[4]
        file.write_text(f"path,label\n{row['path']},{(int(row['label']) + 1) % 10}\n")
        assert main(["correct", str(run), str(file)]) == 0

    if corrected_at == "the end":
        labeled(run, 20)
        correct()
        assert main(["extend", str(run), "--labels", "20"]) == 0
    else:
        argv = options(*PERSON, "--run_dir", str(run))
        for _ in range(2):
            assert main(argv) == 0
            person(waiting_for(run))
        assert main(argv) == 0
        capsys.readouterr()
        correct()
        assert "the fits from round 2 on use them" in capsys.readouterr().out
    assert waiting_for(run).stem == "round-001"
    assert main(["finish", str(run)]) == 0
    assert waiting_for(run) is None
    records, ledger = read_records(run), list(csv.DictReader((run / "ledger.csv").read_text().splitlines()))
    labels = [int(row["corrected"] or row["label"]) for row in ledger]
    assert [record.num_labeled for record in records] == [30, 50, 50]
    assert records[2].trained_class_counts == [labels.count(c) for c in range(10)]
    assert main(["finish", str(run)]) == 0  # nothing is left to do
    assert len(read_records(run)) == 3


def test_nothing_can_be_finished_before_the_first_model(options, tmp_path, capsys):
    assert main(options(*PERSON, "--run_dir", str(tmp_path / "run"))) == 0
    assert main(["finish", str(tmp_path / "run")]) == 2
    assert "labels for initial are missing" in capsys.readouterr().err


def test_a_person_is_asked_with_the_merged_class(labeled, photos, person, waiting_for, tmp_path, capsys):
    run, truth = labeled(tmp_path / "run", 0), photos[1]
    now = {path: "both" if label in ("3", "8") else label for path, label in truth.items()}
    assert main(["extend", str(run), "--labels", "20"]) == 0
    merge = ["classes", str(run), "merge", "3,8", "--into", "both"]
    assert main(merge) == 2
    assert "expected no pending labeling request" in capsys.readouterr().err
    assert main(["finish", str(run)]) == 0
    assert main(merge) == 0
    (tmp_path / "pool/new.png").write_bytes((tmp_path / "pool" / next(iter(truth))).read_bytes())
    assert main(["add", str(run), str(tmp_path / "pool")]) == 0
    assert main(["extend", str(run), "--labels", "20"]) == 0
    file = waiting_for(run)
    assert file.stem == "round-001"
    asked = list(csv.DictReader(file.read_text().splitlines()))
    assert {row["suggested"] for row in asked} <= {*now.values()}
    sheet = file.with_suffix(".html").read_text()
    assert re.search(r'"classes": ?\["0", ?"1", ?"2", ?"both", ?"4", ?"5", ?"6", ?"7", ?"9"\]', sheet)
    person(file, dict.fromkeys([row["path"] for row in asked], "3"))
    capsys.readouterr()
    assert main(["resume", str(run)]) == 2
    assert "'3' is not known" in capsys.readouterr().err
    file.write_text("path,label\n" + "".join(f"{row['path']},{now.get(row['path'], '1')}\n" for row in asked))
    assert main(["resume", str(run)]) == 0
    records = read_records(run)
    assert [record.num_labeled for record in records] == [30, 30, 50]
    assert records[1].class_names == ["0", "1", "2", "both", "4", "5", "6", "7", "9"]
    assert records[1].class_numbers == [0, 1, 2, 3, 4, 5, 6, 7, 3, 8]
    assert records[2].test_classes.images[3] == records[0].test_classes.images[3] + records[0].test_classes.images[8]
    assert main(["labels", str(run), "--out", str(tmp_path / "out.csv"), "--format", "csv"]) == 0
    rows = list(csv.DictReader((tmp_path / "out.csv").read_text().splitlines()))
    assert {row["path"]: row["label"] for row in rows} == {row["path"]: now.get(row["path"], "1") for row in rows}
    path = next(row["path"] for row in rows if row["label"] == "both")
    (tmp_path / "fix.csv").write_text(f"path,label\n{path},4\n")
    assert main(["correct", str(run), str(tmp_path / "fix.csv")]) == 0
    (row,) = (row for row in csv.DictReader((run / "ledger.csv").read_text().splitlines()) if row["path"] == path)
    assert (row["class_name"] in ("3", "8", "both"), row["corrected"]) == (True, "4")
