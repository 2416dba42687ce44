"""What the tests of wrong inputs share: one way to try an input, one opinion on what is a good refusal."""

import re

import pytest

from msal_lightning.cli import main


def snapshot(folder):
    """Every file and folder below, with the bytes of the files."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def is_refusal(code, err, names):
    """What is wrong with a refusal; empty where nothing is: exit code 2, one sentence, the key, no traceback."""
    lines = err.splitlines()
    found = []
    if code != 2:
        found.append(f"exit code {code}")
    if "Traceback" in err:
        found.append("a traceback")
    if len(lines) != 1 or not lines[0].startswith("error: "):
        found.append(f"{len(lines)} lines")
    found += [f"nothing of '{name}'" for name in names if not re.search(name, err)]
    return ", ".join(found)


@pytest.fixture
def refused(tmp_path, monkeypatch, capsys):
    """``refused(argv, *names)``: the command refuses, says why with these words, and leaves nothing behind.

    It runs in this process and in an empty folder, which a test may fill first.
    """
    monkeypatch.chdir(tmp_path)

    def refused(argv, *names):
        before = snapshot(tmp_path)
        try:
            code = main([str(word) for word in argv])
        except SystemExit as end:  # argparse of old
            code = end.code
        err = capsys.readouterr().err
        assert not (wrong := is_refusal(code, err, names)), f"{wrong}: {err}"
        assert snapshot(tmp_path) == before
        return err

    return refused
