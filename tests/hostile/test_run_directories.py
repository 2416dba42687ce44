"""Run directories of strangers, read by every command: nothing runs, nothing is written elsewhere, no traceback."""

import importlib.util
import shutil
import sys
import traceback
from collections import Counter
from pathlib import Path

import pytest
import yaml

from msal_lightning.cli.main import main

_spec = importlib.util.spec_from_file_location("directories", Path(__file__).with_name("directories.py"))
directories = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(directories)
HOSTILE = directories.HOSTILE

TINY = [
    "--config", "digits", "--model.backbone.width", "4", "--trainer.max_epochs", "1", "--trainer.accelerator", "cpu",
    "--loop.initial_size", "20", "--loop.query_size", "10", "--loop.query_budget", "10",
]  # fmt: skip
COMMANDS = {
    "status": ["status", "strangers"],
    "report": ["report", "strangers", "--out", "out/report"],
    "plot": ["plot", "strangers", "--out", "out/plot.png"],
    "figure": ["figure", "contact-sheet", "strangers", "--out", "out/sheet.png"],
    "label": ["label", "strangers", "given.csv"],
    "query": ["query", "--checkpoint", "strangers", "--images", "photos", "--n", "1", "--out", "out/query"],
    "export": ["export", "strangers", "--format", "state-dict", "--out", "out/export"],
    "replay": ["replay", "--run", "strangers", "--run_dir", "out/again"],
}
SHORT = (
    "optimizer that runs code", "query in a file", "place of a callback", "shared model elsewhere", "anchor bomb",
    "download", "data of a device",
    "queries in another folder", "question that leads out", "pickle as model", "labels that are text",
)  # fmt: skip
_counts = Counter()


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    run = tmp_path_factory.mktemp("runs") / "run"
    assert main(["fit", *TINY, "--run_dir", str(run)]) == 0
    return run


@pytest.fixture(scope="module")
def audit():
    """What the interpreter is asked to do while ``audit.here`` is set: other programs, and files written elsewhere."""

    class Audit:
        here = None
        found = ()

    def hook(event, arguments):
        if Audit.here is None:
            return
        if event in ("os.system", "subprocess.Popen", "os.exec", "os.posix_spawn", "socket.connect"):
            Audit.found.append(f"{event} {arguments[0]!r:.80}")

    sys.addaudithook(hook)  # it stays, and does nothing more after the tests
    yield Audit
    Audit.here = None


@pytest.fixture
def place(finished, tmp_path, monkeypatch):
    """The user's folder: a module of his own, a precious file, photos, a filled file, and the stranger's run."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "canary.py").write_text("open('sang', 'w')\nMine = MyDigits = call = print\n")
    (tmp_path / "evil.yaml").write_text(yaml.safe_dump({"optimizer": directories.STMT, **directories.STMT}))
    (tmp_path / "given.csv").write_text("path,label\n3,a\n")
    (tmp_path / "photos").mkdir()
    for name in ("precious.txt", "precious.csv", "round-002.csv"):
        (tmp_path / "photos" / name).write_text("path,label\n3,\n")
    (tmp_path / "out").mkdir()
    shutil.copytree(finished, tmp_path / "strangers")
    (tmp_path / "strangers" / "signature").unlink(missing_ok=True)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def contents(folder, left_out):
    """All files with their bytes, those behind no links; what a command may write is left out."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
        if path.relative_to(folder).parts[0] not in left_out and not path.is_symlink()
    }


def attempt(command, place, audit, capsys):
    """What went wrong, an empty list where nothing did."""
    may_write = {"out", "__pycache__", ".pytest_cache"} | ({"strangers"} if command == "label" else set())
    before = contents(place, may_write)
    audit.here, audit.found = place, []
    wrong = []
    try:
        code = main(COMMANDS[command])
        if code not in (0, 2):
            wrong.append(f"exit code {code}")
    except SystemExit as end:
        wrong.append(f"it ended itself with {end.code}")
    except BaseException:
        wrong.append(traceback.format_exc())
    audit.here = None
    said = capsys.readouterr()
    steering = [c for c in said.out + said.err if not (c.isprintable() or c in "\n\t")]
    after = contents(place, may_write)
    wrong += [f"ran {what}" for what in audit.found]
    wrong += [f"changed {name}" for name in {*before, *after} if before.get(name, 0) != after.get(name, 0)]
    wrong += ["the canary sang"] * (place / "sang").exists()
    wrong += [f"steers the terminal with {c!r}" for c in steering[:1]]
    wrong += ["a traceback is printed"] * ("Traceback" in said.err)
    return wrong


@pytest.mark.parametrize("name", [n if n in SHORT else pytest.param(n, marks=pytest.mark.faults) for n in HOSTILE])
def test_a_strangers_run_directory(name, place, audit, capsys):
    HOSTILE[name](place / "strangers", place)
    wrong = {}
    for command in COMMANDS:
        shutil.rmtree(place / "out")
        (place / "out").mkdir()
        wrong[command] = attempt(command, place, audit, capsys)
        _counts["tried"] += 1
        _counts["wrong"] += len(wrong[command])
    assert {command: found for command, found in wrong.items() if found} == {}


def test_the_same_commands_work_on_a_good_run(place, audit, capsys):
    for command in ("status", "report", "plot", "figure", "export", "replay"):
        assert attempt(command, place, audit, capsys) == []
    assert (place / "out" / "again" / "rounds" / "001.json").exists()
    assert directories.EVIL not in (place / "out" / "report" / "report.csv").read_text()


@pytest.mark.faults
def test_the_counts(faults_table):
    """The row of docs/faults.md; the tests above have passed or failed by themselves."""
    faults_table(
        "Run directories of strangers",
        {
            "directories": len(HOSTILE),
            "commands": len(COMMANDS),
            "tried": _counts["tried"],
            "ran, wrote, traceback": _counts["wrong"],
        },
    )
