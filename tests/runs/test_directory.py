"""The run directory: atomic records, derived tables, and refusing what does not belong."""

import csv
import hashlib
import json
from dataclasses import asdict, replace

import pytest
import torch
import yaml

from msal_lightning.errors import RunError, UserError
from msal_lightning.io.folder_mark import MARK, write_mark
from msal_lightning.runs.directory import RunDirectory, write_atomically
from msal_lightning.runs.records import (
    FORMAT,
    LabeledImages,
    PseudoLabels,
    RoundRecord,
    aubc,
    checked_record_of,
    read_records,
    record_body,
)


def sealed(one):
    body = asdict(one)
    return {
        "format": FORMAT,
        "digest": hashlib.blake2s(json.dumps(body, sort_keys=True).encode(), digest_size=8).hexdigest(),
        **body,
    }


CONFIG = {"seed": 0, "run_dir": None, "logger": "csv", "query": {"class_path": "MSALD", "init_args": {"beta": 5.0}}}


def record(k, accuracy=0.5):
    initial = LabeledImages([7, 3], [1, 0]) if k == 0 else LabeledImages()
    queried = LabeledImages([10 + k, 20 + k], [0, 1], [0.75, 0.5])
    seconds = {"fit": 1.23456, "test": 0.1, "query": 0.2}
    return RoundRecord(
        k, 2 + 2 * k, 98 - 2 * k, {"accuracy": accuracy}, seconds, 0.25, [1, 1], queried, initial, {},
        class_names=None if k else ["cat", "dog"],
    )  # fmt: skip


@pytest.fixture
def run(tmp_path):
    directory = RunDirectory(tmp_path / "run", CONFIG)
    directory.open()
    for k in range(3):
        directory.commit(record(k, accuracy=0.5 + 0.1 * k))
    return directory


def test_records_come_back_as_they_were(run):
    assert RunDirectory(run.path, CONFIG).open() == [record(k, accuracy=0.5 + 0.1 * k) for k in range(3)]


def test_tables_are_derived_from_the_records(run):
    expected = {name: (run.path / name).read_text() for name in ("curve.csv", "ledger.csv")}
    for name in expected:
        (run.path / name).unlink()
    run.derive_tables()
    assert {name: (run.path / name).read_text() for name in expected} == expected
    ledger = list(csv.reader((run.path / "ledger.csv").read_text().splitlines()))
    assert ledger[:4] == [
        ["round", "rank", "index", "score", "label", "class_name"],
        ["0", "0", "7", "", "1", "dog"],
        ["0", "1", "3", "", "0", "cat"],
        ["1", "0", "10", "0.75", "0", "cat"],
    ]
    curve = list(csv.DictReader((run.path / "curve.csv").read_text().splitlines()))
    assert curve[1] == {
        "round": "1", "num_labeled": "4", "accuracy": "0.6", "pool_error": "0.25",
        "seconds_fit": "1.235", "seconds_test": "0.1", "seconds_query": "0.2",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["curve.csv", "ledger.csv"])
@pytest.mark.parametrize("reopened", [False, True])
def test_a_table_that_was_cut_or_changed_is_written_again(run, name, reopened):
    expected, file = (run.path / name).read_text(), run.path / name
    former = "".join(f"{line.rpartition(',')[0]}\n" for line in expected.splitlines())  # had no class names
    for damaged in (expected[:-5], expected + "1,", expected.replace("0", "1", 1), former):
        file.write_text(damaged)
        if reopened:
            run.close()
            RunDirectory(run.path, CONFIG).open()
            assert file.read_text() == expected
        elif len(damaged) != len(expected):
            run.commit(record(3))
            assert file.read_text().startswith(expected)
            assert (run.path / "ledger.csv").read_text().count("\n4,") == 2
            run._records.pop()


def test_a_round_costs_only_its_own_rows(run, monkeypatch):
    files = {name: (run.path / name).stat().st_ino for name in ("curve.csv", "ledger.csv")}
    run.commit(record(3))
    assert {name: (run.path / name).stat().st_ino for name in files} == files  # appended, not replaced
    grown = {name: (run.path / name).read_text() for name in files}
    run.derive_tables()
    assert {name: (run.path / name).read_text() for name in files} == grown


def test_a_round_with_a_new_column_rewrites_the_table(run):
    pseudo = PseudoLabels([1, 2], [0, 1], 1, 0.5)
    run.commit(replace(record(3), pseudo_labels=pseudo))
    curve = list(csv.DictReader((run.path / "curve.csv").read_text().splitlines()))
    assert [row["pseudo_labels"] for row in curve] == ["", "", "", "2"]


def test_a_round_that_is_recorded_again_counts_once(run):
    run.commit(record(2, accuracy=0.9))
    curve = list(csv.DictReader((run.path / "curve.csv").read_text().splitlines()))
    assert [row["accuracy"] for row in curve] == ["0.5", "0.6", "0.9"]


def test_aubc_of_records(run):
    assert aubc(read_records(run.path)) == pytest.approx(0.6)


def damage_truncate(path):
    path.write_text(path.read_text()[:100])


def damage_empty(path):
    path.write_text("")


def damage_hand_edit(path):
    path.write_text(path.read_text().replace('"accuracy": 0.6', '"accuracy": 0.9'))


def damage_other_json(path):
    path.write_text("[1, 2]")


@pytest.mark.parametrize("damage", [damage_truncate, damage_empty, damage_hand_edit, damage_other_json])
def test_damaged_records_are_named_and_nothing_is_lost(run, damage):
    damage(run.path / "rounds" / "001.json")
    run.close()
    before = {file: file.read_bytes() for file in run.path.rglob("*") if file.is_file()}
    with pytest.raises(UserError, match=r"rounds/001\.json.*move it"):
        RunDirectory(run.path, CONFIG).open()
    assert {file: file.read_bytes() for file in run.path.rglob("*") if file.is_file()} == before


def test_a_record_of_a_format_that_was_never_released_is_refused(run):
    file = run.path / "rounds" / "002.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"format": 2}))
    with pytest.raises(RunError, match=r"in format 4, got 2: .* move it and all later records to another folder"):
        read_records(run.path)


def test_a_record_moves_what_it_labeled():
    held_out, initial, queried = LabeledImages([1], [0]), LabeledImages([2, 3], [1, 1]), LabeledImages([7], [0])
    whole = replace(record(0), held_out=held_out, initial=initial, queried=queried)
    assert whole.moves() == [(held_out, -4), (initial, 0), (queried, 1)]
    assert replace(whole, round=4, held_out=None).moves()[-1] == (queried, 5)
    index, label = initial.tensors()
    assert (index.tolist(), label.tolist(), index.dtype) == ([2, 3], [1, 1], torch.int64)


def test_pseudo_labels_come_back_as_they_were(run):
    pseudo = PseudoLabels([4, 9], [1, 0], 1)
    run.commit(replace(record(3), pseudo_labels=pseudo))
    assert read_records(run.path)[3].pseudo_labels == pseudo


def test_a_record_of_a_newer_format_is_refused(run):
    file = run.path / "rounds" / "002.json"
    body = json.loads(file.read_text())
    file.write_text(json.dumps({**body, "format": 99}))
    with pytest.raises(UserError, match=f"format {FORMAT}, got 99"):
        read_records(run.path)


def test_a_missing_record_is_named(run):
    (run.path / "rounds" / "001.json").unlink()
    with pytest.raises(UserError, match=r"round 1 .*found round 2"):
        RunDirectory(run.path, CONFIG).open()


def test_another_configuration_is_refused_by_its_first_keys(run):
    other = {**CONFIG, "seed": 1, "query": {"class_path": "MSALD", "init_args": {"beta": 9.0}}}
    with pytest.raises(UserError, match=r"seed was 0, now 1; query.init_args.beta was 5.0, now 9.0.*--overwrite"):
        RunDirectory(run.path, other).open()
    assert len(read_records(run.path)) == 3


def test_what_changes_no_result_may_differ(run):
    other = {**CONFIG, "run_dir": str(run.path), "logger": "wandb", "overwrite": False}
    assert len(RunDirectory(run.path, other).open()) == 3


def test_overwrite_starts_anew_but_leaves_strangers_alone(run):
    (run.path / "notes.txt").write_text("mine")
    (run.path / "export").mkdir()
    (run.path / "export/model.onnx").write_text("of the former model")
    other = {**CONFIG, "seed": 1}
    assert RunDirectory(run.path, other, overwrite=True).open() == []
    assert (run.path / "notes.txt").read_text() == "mine"
    assert (run.path / "export-1/model.onnx").read_text() == "of the former model"
    assert not (run.path / "export").exists()
    assert not (run.path / "ledger.csv").exists()
    assert yaml.safe_load((run.path / "config.yaml").read_text())["seed"] == 1


def test_without_a_finished_round_the_configuration_may_change(tmp_path):
    RunDirectory(tmp_path / "run", {**CONFIG, "seed": 1}).open()
    assert RunDirectory(tmp_path / "run", CONFIG).open() == []
    assert yaml.safe_load((tmp_path / "run" / "config.yaml").read_text()) == CONFIG


PART = ".0123abcd.part"


@pytest.mark.parametrize("left", [[f".{MARK}{PART}"], [MARK, "lock"], [MARK, f".config.yaml{PART}"], [MARK, "rounds"]])
@pytest.mark.parametrize("overwrite", [False, True])
def test_what_a_kill_while_opening_leaves_is_no_obstacle(tmp_path, left, overwrite):
    (tmp_path / "run").mkdir()
    for name in left:
        path = tmp_path / "run" / name
        path.mkdir() if "." not in name and name != "lock" else path.write_text("{")
    if MARK in left:
        write_mark(tmp_path / "run", "run")
    assert RunDirectory(tmp_path / "run", CONFIG, overwrite=overwrite).open() == []
    assert not list((tmp_path / "run").glob(".*"))


def test_stale_tables_are_mended(run):
    expected = (run.path / "curve.csv").read_text()
    (run.path / "curve.csv").write_text("round\n0\n")
    RunDirectory(run.path, CONFIG).open()
    assert (run.path / "curve.csv").read_text() == expected


def test_rounds_are_in_order_of_their_number(run):
    for k in range(3, 1002):
        (run.path / "rounds" / f"{k:03d}.json").write_text(json.dumps(sealed(record(k))))
    (run.path / "rounds" / "001 copy.json").write_text("mine")
    assert [r.round for r in read_records(run.path)] == list(range(1002))


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_that_is_no_run_is_never_touched(tmp_path, overwrite):
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(UserError, match="not from a run"):
        RunDirectory(tmp_path, CONFIG, overwrite=overwrite).open()
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path):
    (tmp_path / "run").write_text("")
    with pytest.raises(UserError, match="found a file"):
        RunDirectory(tmp_path / "run", CONFIG).open()


def test_a_folder_that_cannot_be_made_is_named():
    with pytest.raises(UserError, match="cannot write run_dir '/proc/nowhere'"):
        RunDirectory("/proc/nowhere", CONFIG).open()


def test_nothing_is_written_before_open(tmp_path):
    RunDirectory(tmp_path / "run", CONFIG, overwrite=True)
    assert not (tmp_path / "run").exists()


def test_atomic_write_replaces_whole_files(tmp_path):
    file = tmp_path / "a.txt"
    write_atomically(file, "old")
    with pytest.raises(UnicodeEncodeError):
        write_atomically(file, "\ud800")  # cannot be written: the old file stays
    assert file.read_text() == "old"
    write_atomically(file, "new")
    assert file.read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize(
    "changes",
    [
        {"queried": {"index": [-1], "label": [0]}},
        {"queried": {"index": [1], "label": [-1]}},
        {"initial": {"index": [1, 2], "label": [0]}},
        {"held_out": {"index": [1], "label": [0], "path": ["a", "b"]}},
        {"round": -1},
        {"num_labeled": "4"},
        {"metrics": {"balanced_accuracy": 0.5}},
        {"unknown": 1},
    ],
    ids=str,
)
def test_values_that_cannot_be_are_refused(changes):
    body = record_body(record(0))
    assert checked_record_of(body) == record(0)
    key = {"queried": "bought"}
    with pytest.raises((TypeError, ValueError)):
        checked_record_of(body | {key.get(name, name): value for name, value in changes.items()})
