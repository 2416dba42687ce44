"""Damaged run directories: every command that reads one says what is wrong, and good ones beside it are shown."""

import json
import shutil

import pytest
import yaml

from msal_lightning.cli.main import main

COMMANDS = {
    "status": ["status", "bad"],
    "report": ["report", "bad"],
    "plot": ["plot", "bad"],
    "figure": ["figure", "budget", "bad"],
    "label": ["label", "bad", "answers.csv"],
    "query": ["query", "--checkpoint", "bad", "--images", "photos", "--n", "3", "--trainer.accelerator", "cpu"],
    "export": ["export", "bad", "--format", "state-dict"],
    "replay": ["replay", "--run", "bad", "--trainer.accelerator", "cpu", "--run_dir", "again"],
}


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    run = tmp_path_factory.mktemp("good") / "run"
    words = ["--config", "digits", "--trainer.max_epochs", "1", "--trainer.accelerator", "cpu", "--run_dir", str(run)]
    assert main(["fit", *words, "--loop.query_budget", "40", "--model.backbone.width", "4"]) == 0
    return run


def config(**changes):
    def change(run):
        file = run / "config.yaml"
        found = yaml.safe_load(file.read_text())
        for key, value in changes.items():
            *sections, name = key.split("__")
            part = found
            for section in sections:
                part = part[section]
            part[name] = value
        file.write_text(yaml.safe_dump(found))

    return change


def text(content, name="config.yaml"):
    def change(run):
        (run / name).write_bytes(content if isinstance(content, bytes) else content.encode())

    return change


def folder(name):
    def change(run):
        path = run / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        path.mkdir()

    return change


RECORDS = {
    "a list": text("[]", "rounds/001.json"),
    "empty": text("", "rounds/001.json"),
    "binary": text(b"\x00\xff\xfe", "rounds/001.json"),
    "no format": text('{"digest": "x"}', "rounds/001.json"),
    "a format of the future": text('{"format": 99, "digest": "x"}', "rounds/001.json"),
    "a folder": folder("rounds/001.json"),
    "the first is missing": lambda run: (run / "rounds" / "000.json").unlink(),
}
CONFIGS = {
    "config is a list": text("- a"),
    "config is empty": text(""),
    "config is a number": text("5"),
    "config is binary": text(b"\x00\xff\xfe\x01"),
    "config is no YAML": text("a: ["),
    "config is a folder": folder("config.yaml"),
    "config is gone": lambda run: (run / "config.yaml").unlink(),
    "config with a key twice": text("seed: 1\nseed: 2"),
    "config with itself in it": text("a: &a [*a]"),
    "seed is a word": config(seed="abc"),
    "seed is a list": config(seed=[1]),
    "initial size is a word": config(loop__initial_size="x"),
    "query size is a word": config(loop__query_size="x"),
    "budget is a number with a point": config(loop__query_budget=1.5),
    "head is a number": config(model__head=3),
    "query class is a number": config(query__class_path=5),
    "data class is a list": config(data__class_path=["Digits"]),
}
NO_RUNS = {
    "empty folder": lambda run: (shutil.rmtree(run), run.mkdir()),
    "nothing there": shutil.rmtree,
    "a file": lambda run: (shutil.rmtree(run), run.write_text("x")),
    "a link to nowhere": lambda run: (shutil.rmtree(run), run.symlink_to("nowhere")),
    "a link to itself": lambda run: (shutil.rmtree(run), run.symlink_to(run)),
}
# query reads weights and split from the checkpoint; label wants a run that waits, whatever else is wrong
BREAKS = {**RECORDS, **CONFIGS, **NO_RUNS}
QUICK = {("status", "empty"), ("report", "seed is a word"), ("plot", "config is a list"), ("label", "binary")}


def _case(command, name):
    marks = () if (command, name) in QUICK else pytest.mark.faults
    return pytest.param(command, name, id=f"{command}: {name}", marks=marks)


@pytest.mark.parametrize(("command", "name"), [_case(c, n) for c in COMMANDS for n in BREAKS])
def test_a_damaged_run_is_one_sentence(command, name, good, tmp_path, refused):
    shutil.copytree(good, tmp_path / "bad")
    (tmp_path / "answers.csv").write_text("path,label\n")
    (tmp_path / "photos").mkdir()
    BREAKS[name](tmp_path / "bad")
    refused(COMMANDS[command], "bad|--run|photos|--checkpoint|expected [a-z_.]+ to be")


@pytest.mark.parametrize("name", ["empty", "seed is a word", "config is binary"])
def test_good_runs_beside_a_damaged_one(name, good, tmp_path, capsys, monkeypatch):
    shutil.copytree(good, tmp_path / "runs" / "good")
    shutil.copytree(good, tmp_path / "runs" / "bad")
    BREAKS[name](tmp_path / "runs" / "bad")
    monkeypatch.chdir(tmp_path)
    for command in ("status", "report", "plot"):
        assert main([command, "runs"]) == 0
        out, err = capsys.readouterr()
        assert "good" in out or command != "status"
        (line,) = err.splitlines()
        assert line.startswith("(left out: ")
        assert "runs/bad" in line
    assert main(["status", "runs/good", "runs/bad"]) == 2  # somebody means the damaged one
    out, err = capsys.readouterr()
    assert "runs/good" in out
    assert err.startswith("error: ")
    assert main(["status", "runs", "--json"]) == 0
    assert [one["run"] for one in json.loads(capsys.readouterr().out)] == ["runs/good"]


def test_other_numerals_are_no_rounds(good, tmp_path, capsys):
    shutil.copytree(good, tmp_path / "run")
    for name in ("²3", "٣", "①", "-1", "initial.asked.old"):
        (tmp_path / "run" / "rounds" / f"{name}.json").write_text("{}")
    (tmp_path / "run" / "rounds" / "²3.asked.json").write_text("{}")
    assert main(["status", str(tmp_path / "run")]) == 0
    assert "2 of 2 rounds" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["status", "report", "plot"])
def test_a_run_of_somebody_else(command, good, tmp_path, capsys, monkeypatch):
    shutil.copytree(good, tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    real = open

    def refuse(path, *args, **kwargs):
        if str(path).endswith("000.json"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *args, **kwargs)

    monkeypatch.setattr("io.open", refuse)
    assert main([command, "run"]) == 2
    assert "cannot read the record 'run/rounds/000.json' (Permission denied)" in capsys.readouterr().err


def test_a_folder_of_damaged_runs(good, tmp_path, capsys, monkeypatch):
    for name in ("a", "b"):
        shutil.copytree(good, tmp_path / "runs" / name)
        text("")(tmp_path / "runs" / name)
    monkeypatch.chdir(tmp_path)
    for words in (["status", "runs"], ["status", "runs", "--json"], ["status", "runs/a", "--json"], ["report", "runs"]):
        assert main(words) == 2
        out, err = capsys.readouterr()
        assert not out  # half a JSON list is none
        *left_out, last = err.splitlines()
        assert last.startswith("error: ")
        assert len(left_out) == (0 if "runs/a" in words else 2)
