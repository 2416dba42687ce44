"""The command ``figure``."""

import re
import subprocess
import sys

import pytest

from msal_lightning.analysis.figures.groups import choose_rounds
from msal_lightning.cli.figure import KINDS
from msal_lightning.cli.main import main
from msal_lightning.errors import UserError


@pytest.mark.parametrize("words", [["--help"], ["tsne", "--help"]])
def test_help_imports_nothing_heavy(words, tmp_path):
    code = (
        "import sys\nfrom msal_lightning.cli.main import main\n"
        f"try: main(['figure', *{words}])\n"
        "except SystemExit: sys.exit(any(name in sys.modules for name in ('torch', 'matplotlib', 'numpy')))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert all(kind in done.stdout for kind in (KINDS if len(words) == 1 else ["--points"]))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "KIND"),
        (["pie", "runs"], "contact-sheet, got 'pie'"),
        (["budget"], "RUNS"),
        (["tsne", "runs", "--rounds", "1,x"], "numbers of rounds like 1,5,10, got '1,x'"),
        (["contact-sheet", "runs", "--images", "0"], "at least 1, got '0'"),
        (["budget", "runs", "--images", "3"], "unknown option '--images'"),
    ],
)
def test_a_mistake_is_one_sentence(words, message, capsys):
    assert main(["figure", *words]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert re.search(message, err), err
    assert "--help" in err


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("out", "message"), [("a.xyz", "end in .png, .svg or .pdf"), ("no/a.png", "make '.*no' first")]
)
def test_a_picture_that_cannot_be_written_is_refused_at_once(kind, out, message, tmp_path, capsys):
    assert main(["figure", kind, str(tmp_path), "--out", str(tmp_path / out)]) == 2
    assert re.search(message, capsys.readouterr().err)


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_without_runs_is_named(kind, tmp_path, capsys):
    assert main(["figure", kind, str(tmp_path), "--out", str(tmp_path / "a.png")]) == 2
    assert "found no config.yaml in it" in capsys.readouterr().err


def test_rounds_are_evenly_spread_with_both_ends():
    assert choose_rounds(range(20), None, 5) == [0, 5, 10, 14, 19]
    assert choose_rounds([2, 3], None, 5) == [2, 3]
    assert choose_rounds([4], None, 3) == [4]
    assert choose_rounds(range(20), [1, 5], 3) == [1, 5]
    with pytest.raises(UserError, match=r"--rounds among 0 to 19, .* got 20"):
        choose_rounds(range(20), [1, 20], 3)
