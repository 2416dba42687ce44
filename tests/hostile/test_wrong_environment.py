"""Terminals, streams and folders that are not as usual; a bug stays exit code 1."""

import errno
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from msal_lightning.cli import main as cli
from msal_lightning.io.streams import make_output_safe

ENVIRONMENTS = {
    "ASCII": {"PYTHONIOENCODING": "ascii"},
    "Latin-1": {"PYTHONIOENCODING": "latin-1"},
    "no locale": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "20 columns": {"COLUMNS": "20"},
    "1 column": {"COLUMNS": "1"},
    "columns no number": {"COLUMNS": "many"},
    "no colour": {"NO_COLOR": "1"},
    "dumb terminal": {"TERM": "dumb"},
    "no HOME": {"HOME": None},
    "HOME that is not there": {"HOME": "/no/such/folder"},
}
COMMANDS = {"strategies": 0, "datasets": 0, "status –nowhere": 2, "report --help": 0}
QUICK = {("ASCII", "datasets"), ("no locale", "status –nowhere"), ("1 column", "report --help")}


def start(words, cwd, environment=None, **streams):
    changed = {**os.environ, "PYTHONPATH": str(Path(cli.__file__).parents[2]), **(environment or {})}
    changed = {key: value for key, value in changed.items() if value is not None}
    command = [sys.executable, "-m", "msal_lightning", *words]
    return subprocess.run(command, cwd=cwd, env=changed, capture_output=not streams, check=False, **streams)


@pytest.mark.parametrize(
    ("environment", "line"),
    [
        pytest.param(e, line, marks=() if (e, line) in QUICK else pytest.mark.faults)
        for e in ENVIRONMENTS
        for line in COMMANDS
    ],
)
def test_any_environment(environment, line, tmp_path):
    done = start(line.split(), tmp_path, ENVIRONMENTS[environment])
    assert done.returncode == COMMANDS[line], done.stderr
    assert b"Traceback" not in done.stderr
    assert done.stdout or done.stderr.startswith(b"error: ")
    assert [*tmp_path.iterdir()] == []


@pytest.mark.faults
@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&-", ">/dev/full", "2>/dev/full"])
@pytest.mark.parametrize("line", ["strategies", "status nowhere"])
def test_streams_that_are_closed_or_full(closed, line, tmp_path):
    command = f"{sys.executable} -m msal_lightning {line} {closed}"
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, check=False)
    expected = 2 if line.startswith("status") or closed == ">/dev/full" else 0
    assert (done.returncode, b"Traceback" in done.stderr) == (expected, False), done.stderr
    assert [*tmp_path.iterdir()] == []


def test_a_current_folder_that_is_gone(tmp_path, capsys, monkeypatch):
    folder = tmp_path / "gone"
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()
    assert cli.main(["status", "x"]) == 2
    assert "error: the current folder is gone" in capsys.readouterr().err


def test_characters_that_the_terminal_lacks():
    make_output_safe()
    encode = "0.5 – 0.7 × ━ … 猫 \udcff".encode
    assert encode("ascii", "msal_lightning.plain") == rb"0.5 - 0.7 x = ... \u732b \udcff"
    assert encode("latin-1", "msal_lightning.plain") == b"0.5 - 0.7 \xd7 = ... \\u732b \\udcff"


def broken(error):
    def command(argv):
        raise error

    return command


def test_a_bug_is_exit_code_1_and_a_file_with_its_traceback(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setitem(cli.COMMANDS, "status", broken(ZeroDivisionError("one\nby zero")))
    assert cli.main(["status", "x"]) == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    found = re.fullmatch(
        r"error: internal error ZeroDivisionError: one by zero; the traceback is in '(.+)': please report it\n", err
    )
    text = Path(found[1]).read_text()
    assert text.startswith("Traceback")
    assert text.endswith("ZeroDivisionError: one\nby zero\n")
    assert "in command" in text


def test_a_bug_where_nothing_can_be_written(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))
    monkeypatch.setitem(cli.COMMANDS, "status", broken(KeyError()))
    assert cli.main(["status", "x"]) == 1
    err = capsys.readouterr().err
    assert err.startswith(
        "error: internal error KeyError: without a message; the traceback follows: please report it\n"
    )
    assert "in command" in err


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EMFILE])
def test_a_disk_that_refuses_is_a_sentence(number, monkeypatch, capsys):
    monkeypatch.setitem(cli.COMMANDS, "status", broken(OSError(number, os.strerror(number), "some/file")))
    assert cli.main(["status", "x"]) == 2
    assert capsys.readouterr().err.startswith(f"error: cannot read or write 'some/file' ({os.strerror(number)}): ")
