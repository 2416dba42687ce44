"""What the tests of wrong inputs share: one way to try an input, one opinion on what is a good refusal."""

import re
from collections import Counter

import pytest

from msal_lightning.cli.main import main


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


@pytest.fixture(scope="session")
def wrong_inputs(faults_table):
    """What was tried and what was refused as it should be, for the table in docs/faults.md."""
    tried, refused = Counter(), Counter()
    yield tried, refused
    for kind, number in tried.items():
        row = {"inputs": kind, "tried": number, "one sentence, exit code 2, nothing left behind": refused[kind]}
        faults_table("Wrong inputs", row)


@pytest.fixture
def refused(tmp_path, monkeypatch, capsys, request, wrong_inputs):
    """``refused(argv, *names)``: the command refuses, says why with these words, and leaves nothing behind.

    It runs in this process and in an empty folder, which a test may fill first.
    """
    monkeypatch.chdir(tmp_path)
    kind = request.module.__doc__.partition(":")[0].partition("\n")[0].rstrip(".")

    def refused(argv, *names):
        wrong_inputs[0][kind] += 1
        before = snapshot(tmp_path)
        try:
            code = main([str(word) for word in argv])
        except SystemExit as end:  # argparse of old
            code = end.code
        err = capsys.readouterr().err
        assert not (wrong := is_refusal(code, err, names)), f"{wrong}: {err}"
        assert snapshot(tmp_path) == before
        wrong_inputs[1][kind] += 1
        return err

    return refused
