"""Labels that are told one by one: on disk at once, in the files of the oracle Files, and with its mistakes named."""

import csv

import pytest

from msal_lightning.cli.main import main
from msal_lightning.errors import AnnotationError
from msal_lightning.oracles import AwaitingLabels, LabelingBatch, LabelingTask, Told


@pytest.fixture
def batch(tmp_path):
    items = [LabelingTask(k, f"{k}.png", tmp_path / f"{k}.png", "cat", 0.5, 0.9, k) for k in range(3)]
    return LabelingBatch("round-000", tuple(items), ("cat", "dog"), tmp_path)


def answers(file):
    with file.open(newline="") as text:
        return {row["path"]: row["label"] for row in csv.DictReader(text)}


def asked(batch, **options):
    oracle = Told(**options)
    with pytest.raises(AwaitingLabels, match="waiting for"):
        oracle.ask(batch)
    return oracle


def test_labels_are_on_disk_and_can_be_taken_back(batch):
    oracle, file = asked(batch), batch.folder / "round-000.csv"
    oracle.tell({"0.png": "dog"})
    assert answers(file) == {"0.png": "dog", "1.png": "", "2.png": ""}
    oracle.tell({"0.png": "", "1.png": "skip", "./2.png": "cat"}, "anna")
    assert oracle.told() == oracle.told([batch]) == {"1.png": "skip", "2.png": "cat"}
    with pytest.raises(AwaitingLabels, match=r"waiting for 1 label in .*round-000\.csv"):
        Told().ask(batch)
    oracle.tell({"0.png": "cat"})
    labels = oracle.ask(batch)
    assert [label.word for label in labels] == ["cat", "skip", "cat"]
    assert (oracle.told(), len(oracle.told([batch]))) == ({}, 3)
    assert [label.votes for label in labels] == [(("", "cat"),)[:0], (("anna", "skip"),), (("anna", "cat"),)]


def test_mistakes_leave_everything_as_it_was(batch):
    oracle = asked(batch)
    for labels, message in (
        ({"0.png": "cat", "9.png": "cat"}, r"images whose labels are missing, got '?9\.png"),
        ({"0.png": "cat", "1.png": "dgo"}, r"the label of '1\.png' cannot be accepted: the class 'dgo' .*dog"),
        ({"1.png": "0"}, "'0' is the number of a class"),
    ):
        with pytest.raises(AnnotationError, match=message):
            oracle.tell(labels)
    assert oracle.told() == {}
    oracle.tell(dict.fromkeys(("0.png", "1.png", "2.png"), "cat"))
    oracle.ask(batch)
    with pytest.raises(AnnotationError, match="`correct` changes a label that was accepted"):
        oracle.tell({"0.png": "dog"})


def test_a_new_class_is_known_from_its_first_label_on(batch):
    oracle = asked(batch, allow_new_classes=True)
    oracle.tell({"0.png": "Fox"})
    with pytest.raises(AnnotationError, match="did you mean Fox"):
        oracle.tell({"1.png": "fox"})
    oracle.tell({"1.png": "Fox"})
    assert oracle.told() == {"0.png": "Fox", "1.png": "Fox"}


def test_files_and_told_labels_take_turns(photos, options, person, tmp_path, waiting_for):
    argv = options("--data.unlabeled", "true", "--loop.lag", "1")
    for run, oracles in (("files", ["Files"] * 3), ("mixed", ["Told", "Files", "Told"])):
        for oracle in oracles:
            assert main([*argv, "--oracle", oracle, "--run_dir", str(tmp_path / run)]) == 0
            person(waiting_for(tmp_path / run))
        assert main([*argv, "--oracle", oracles[-1], "--run_dir", str(tmp_path / run)]) == 0
        assert waiting_for(tmp_path / run) is None
    assert (tmp_path / "mixed/ledger.csv").read_bytes() == (tmp_path / "files/ledger.csv").read_bytes()


def test_what_is_requested_ahead_survives_the_end_of_the_run(photos, options, person, tmp_path, capsys, waiting_for):
    argv, run = options("--data.unlabeled", "true", "--loop.lag", "1", "--oracle", "Files"), tmp_path / "run"
    assert main([*argv, "--run_dir", str(run)]) == 0
    person(waiting_for(run))
    assert main([*argv, "--run_dir", str(run)]) == 0
    assert "round-001 with 20 images may be labeled at the same time" in capsys.readouterr().out
    ahead = run / "queries/round-001.csv"
    filled = tmp_path / "filled.csv"
    filled.write_bytes(ahead.read_bytes())
    person(filled, most=7)
    assert main(["label", str(run), str(filled)]) == 0
    assert main(["status", str(run)]) == 0
    said = capsys.readouterr().out
    assert "waiting for 20 of 20 labels" in said
    assert "20 images of later rounds may be labeled already" in said
    assert main(["finish", str(run)]) == 0
    assert waiting_for(run) is None
    assert main(["extend", str(run), "--labels", "40"]) == 0
    assert waiting_for(run).stem == "round-000"
    given = answers(ahead)
    assert sum(map(bool, given.values())) == 7  # what a person has said is still there
    while file := waiting_for(run):
        person(file)
        assert main(["resume", str(run)]) == 0
    with (run / "ledger.csv").open(newline="") as text:
        later = {row["path"] for row in csv.DictReader(text) if row["round"] == "2"}
    assert later == {*given}
