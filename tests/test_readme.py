"""What the README says is true."""

import re
import shlex
from pathlib import Path

import pytest

from msal_lightning.cli.main import COMMANDS, main
from msal_lightning.config.catalog import classes
from msal_lightning.config.files import shipped_folder
from msal_lightning.config.parser import build_parser, parse

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text().replace("\\\n", " ")  # continued lines are one
PYTHON = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
COMMAND_LINES = re.findall(r"python -m msal_lightning ([^`#&\n]+)", README)


def test_every_command_line_parses():
    assert len(COMMAND_LINES) > 8
    for line in COMMAND_LINES:
        command, *arguments = shlex.split(line)
        assert command in COMMANDS
        if command == "fit" and "mine." not in line:
            parse(build_parser(), [a for a in arguments if a not in ("--print_config", "--help")])


def test_tables_name_every_strategy_and_configuration():
    for name in classes("strategies", "Strategy"):
        assert f"| `{name}` |" in README
    for file in shipped_folder().glob("*.yaml"):
        assert f"| `{file.stem}` |" in README


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert target.startswith("http") or (ROOT / target).exists(), target


def test_the_loop_in_python_runs(tmp_path, commands):
    (tmp_path / "readme.py").write_text(PYTHON[0])
    done = commands.run("readme.py", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert re.search(r"\[\(40, 0\.\d+\), \(80, 0\.\d+\), \(120, 0\.\d+\)\]", done.stdout)


def test_the_query_works_with_a_model_that_is_not_ours(tmp_path, commands):
    (tmp_path / "readme.py").write_text(PYTHON[1])
    done = commands.run("readme.py", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "60 labeled, 1237 in the pool"


@pytest.mark.parametrize(
    ("block", "arguments"), [(2, ["--query", "mine.SecondGuess"]), (3, ["--data", "mine.Noise", "--query", "Entropy"])]
)
def test_your_own_classes_run(block, arguments, tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(PYTHON[block])
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    tiny = ["--trainer.max_epochs", "1", "--trainer.accelerator", "cpu", "--loop.query_budget", "40"]
    assert main(["fit", "--config", "digits", *arguments, *tiny]) == 0
