"""What README and the pages behind it say is true."""

import re
from pathlib import Path

import pytest

from benchmarks.marks import fill
from benchmarks.readme import FIRST, parts
from msal_lightning.cli.main import main
from msal_lightning.config.catalog import classes
from msal_lightning.config.files import shipped_folder
from msal_lightning.models.metrics import area_under_budget_curve

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
OUTPUT = (ROOT / "docs" / "first_run.txt").read_text(encoding="utf-8")


def page(name):
    return (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")


def python_blocks(name):
    return re.findall(r"```python\n(.*?)```", page(name), flags=re.DOTALL)


def test_numbers_and_output_are_those_of_their_files():
    assert fill(ROOT / "README.md", parts()) == README
    rows = [line.split() for line in OUTPUT.splitlines() if re.match(r" +\d+ +\d+ ", line)]
    labels, accuracies = [int(row[1]) for row in rows], [float(row[2]) for row in rows]
    last = OUTPUT.splitlines()[-1]
    assert f"AUBC {area_under_budget_curve(labels, accuracies):.4f}, final accuracy {accuracies[-1]:.4f}" in last
    assert f"{len(classes('strategies', 'Strategy'))} strategies" in README


def test_the_first_command_prints_what_is_shown(tmp_path, monkeypatch, capsys):
    """Line by line, apart from the numbers, with one round instead of ten."""

    def shape(text):
        of_machine = re.compile(r"precision |\d+ threads?:")
        return [re.sub(r"[\d.,]+|–", "#", line).split() for line in text.splitlines() if not of_machine.match(line)]

    assert FIRST in README
    monkeypatch.chdir(tmp_path)
    assert main([*FIRST.split(), "--loop.query_budget", "40", "--trainer.max_epochs", "1"]) == 0
    printed = shape(capsys.readouterr().out)
    shown = shape(OUTPUT)
    assert printed == [*shown[:3], *shown[-2:]]


def test_readme_is_short_and_its_links_lead_somewhere():
    assert len(README.splitlines()) <= 150
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", README):
        assert target.startswith("https://arxiv.org/") or (ROOT / target).exists(), target


def test_tables_name_every_strategy_and_configuration():
    for name in classes("strategies", "Strategy"):
        assert f"| `{name}` |" in page("strategies")
    for file in shipped_folder().glob("*.yaml"):
        assert f"| `{file.stem}` |" in page("configurations")


def test_the_navigation_has_every_page():
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    for file in [*ROOT.glob("docs/**/*.md"), *ROOT.glob("notebooks/*.ipynb")]:
        name = file.relative_to(ROOT).as_posix().removeprefix("docs/").replace(".ipynb", ".md")
        assert f": {name}\n" in text, name


def test_the_loop_in_python_runs(tmp_path, commands):
    (tmp_path / "page.py").write_text(python_blocks("python")[0])
    done = commands.run("page.py", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert re.search(r"\[\(40, 0\.\d+\), \(80, 0\.\d+\), \(120, 0\.\d+\)\]", done.stdout)


def test_the_query_works_with_a_model_that_is_not_ours(tmp_path, commands):
    (tmp_path / "page.py").write_text(python_blocks("python")[1])
    done = commands.run("page.py", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "60 labeled, 1237 in the pool"


@pytest.mark.parametrize(
    ("block", "arguments"), [(0, ["--query", "mine.SecondGuess"]), (1, ["--data", "mine.Noise", "--query", "Entropy"])]
)
def test_your_own_classes_run(block, arguments, tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(python_blocks("extending")[block])
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    tiny = ["--trainer.max_epochs", "1", "--trainer.accelerator", "cpu", "--loop.query_budget", "40"]
    assert main(["fit", "--config", "digits", *arguments, *tiny]) == 0
