"""What comes from files and names does not steer the terminal."""

import ast
import io
import shutil
from pathlib import Path

import pytest
from rich.progress import Progress
from rich.table import Table

from msal_lightning.cli.main import main
from msal_lightning.io.console import SafeConsole
from msal_lightning.io.terminal import clean, say

EVIL = "a\x1b]0;title\x07b\x1b[2Jc\rd\x9be\u202ef\x7fg\u2066h\x00\ud800"
PACKAGE = Path(__file__).parents[2] / "msal_lightning"


def is_safe(text):
    """Nothing but printable characters, spaces and line ends: the naive rule."""
    return all(c in "\n\t " or (c.isprintable() and c not in "\u202e\u2066") for c in text)


def test_control_characters_are_written_out():
    assert clean("a\x1b[2Jb\rc\x9bd\u202ee") == "a\\x1b[2Jb\\x0dc\\x9bd\\u202ee"
    assert clean("é日本\t–\n🐈") == "é日本\t–\n🐈"
    assert is_safe(clean(EVIL))


def test_say_and_console(capsys):
    say(EVIL)
    table = Table("head", EVIL.replace("\ud800", ""))
    table.add_row(EVIL, "[red]x[/red] :cat:")
    out = io.StringIO()
    console = SafeConsole(file=out, width=200)
    console.print(table)
    console.print(EVIL)
    with Progress(console=console) as progress:
        progress.add_task(EVIL, total=1)
    assert is_safe(capsys.readouterr().out)
    assert is_safe(out.getvalue())
    assert "[red]x[/red] :cat:" in out.getvalue()


def test_richs_own_codes_are_kept():
    out = io.StringIO()
    SafeConsole(file=out, force_terminal=True, color_system="standard").print("x\x1b[A", style="red", highlight=False)
    assert out.getvalue() == "\x1b[31mx\\x1b[A\x1b[0m\n"


def test_everything_is_printed_through_it():
    others = ("print", "rich.print", "rich.get_console", "Console", "sys.stdout.write", "sys.stderr.write")
    found = {
        file.relative_to(PACKAGE).as_posix()
        for file in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in others
    }
    assert found == {"io/terminal.py"}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run whose folder is named by a stranger."""
    folder = tmp_path_factory.mktemp("runs") / EVIL.replace("\x00", "").replace("\ud800", "")
    words = [
        "--config",
        "digits",
        "--model.backbone.width",
        "4",
        "--trainer.max_epochs",
        "1",
        "--loop.query_size",
        "10",
    ]
    assert main(["fit", *words, "--loop.query_size", "10", "--loop.query_budget", "10", "--run_dir", str(folder)]) == 0
    return folder


@pytest.mark.parametrize("command", ["status", "report", "plot", "contact-sheet", "label", "query", "replay", "fit"])
def test_commands_on_a_run_with_such_a_name(command, run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(run, tmp_path / run.name)
    (tmp_path / "photos").mkdir()
    words = {
        "status": ["status", run.name],
        "report": ["report", run.name],
        "plot": ["plot", run.name],
        "contact-sheet": ["figure", "contact-sheet", run.name],
        "label": ["label", run.name, EVIL.replace("\x00", "")],
        "query": ["query", "--checkpoint", run.name, "--images", "photos", "--n", "1"],
        "replay": ["replay", "--run", run.name],
        "fit": ["fit", "--config", run.name],
    }[command]
    main(words)
    said = capsys.readouterr()
    assert is_safe(said.out + said.err)
    assert said.out + said.err
