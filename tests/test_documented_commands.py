"""The commands in README and on the pages are read by the real parsers, and quick ones run."""

import ast
import importlib.util
import json
import re
import shlex
import tomllib
from contextlib import suppress
from pathlib import Path

import pytest

from msal_lightning.cli.embed.options import _split
from msal_lightning.cli.embed.parts import _parse
from msal_lightning.cli.main import COMMANDS, main
from msal_lightning.config.command_parser import CommandParser
from msal_lightning.config.parser import build_parser, parse

ROOT = Path(__file__).parent.parent
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted(ROOT.glob("docs/**/*.md")),
    *sorted(ROOT.glob("notebooks/*.ipynb")),
]
FENCE = re.compile(r"^```\w*\n(.*?)^```", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"`(python -m [^`\n]+|pip install [^`\n]+)`")
QUICK = [
    "datasets",
    "fit --config digits --print_config",
    "strategies",
]


def text_of(page):
    if page.suffix != ".ipynb":
        return page.read_text(encoding="utf-8")
    cells = json.loads(page.read_text(encoding="utf-8"))["cells"]
    return "\n".join("".join(cell["source"]) + "\n" for cell in cells if cell["cell_type"] == "markdown")


def lines_of(page):
    """All lines that a reader may type: continued ones joined, comments cut off, joined commands apart."""
    text = text_of(page).replace("$query", "Random").replace("$seed", "0")  # a loop of the shell
    for block in FENCE.findall(text):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True) if re.match(r" *(python|pip|FAULTS_TABLE)\b", line) else []
            while words:
                end = next((k for k, word in enumerate(words) if word in ("&&", "|", ">")), len(words))
                yield words[:end]
                words = words[end + 1 :]
    for span in INLINE.findall(FENCE.sub("", text)):
        if "..." not in span and "COMMAND" not in span and "[EXPERIMENT" not in span:
            yield shlex.split(span)


LINES = [(page.name, words) for page in PAGES for words in lines_of(page)]
OURS = sorted(
    {
        tuple(words[3:])
        for _, words in LINES
        if words[:3] == ["python", "-m", "msal_lightning"]
        and (words[4:] or words[3:] in (["strategies"], ["datasets"]))  # others are names of commands in a sentence
    }
)


class Read(Exception):  # noqa: N818 - not an error
    """A command line has been read; it holds the words that the command passes on to the parser of ``fit``."""


@pytest.fixture
def stop_after_reading(monkeypatch):
    reading = []

    def watched(method):
        def read(self, *arguments):
            reading.append(self)
            try:
                result = method(self, *arguments)
            finally:
                reading.pop()
            if not reading and self.prog != "python -m msal_lightning sweep":  # it goes on to its cells
                raise Read(result[1] if isinstance(result, tuple) else [])
            return result

        return read

    def first_cell(wanted, *_):
        raise Read(wanted[0].arguments)

    monkeypatch.setattr("msal_lightning.cli.sweep._run", first_cell)
    monkeypatch.setattr(CommandParser, "parse_args", watched(CommandParser.parse_args))
    monkeypatch.setattr(CommandParser, "parse_known_args", watched(CommandParser.parse_known_args))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where the files are that the pages tell to save: mine.yaml and mine.py."""
    (tmp_path / "mine.yaml").write_text("run_dir: runs/mine\n")
    python = re.findall(r"```python\n(.*?)```", (ROOT / "docs/extending.md").read_text(), re.DOTALL)
    notebook = ast.parse((ROOT / "notebooks/own_strategy.py").read_text(encoding="utf-8")).body
    own = ast.Module([part for part in notebook if isinstance(part, ast.Import | ast.ImportFrom | ast.ClassDef)], [])
    (tmp_path / "mine.py").write_text("\n".join([*python, ast.unparse(own)]))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def read_fit(words):
    parse(build_parser(), [word for word in words if word not in ("--print_config", "--help", "--list")])


def test_there_are_commands_and_the_page_of_commands_has_all():
    assert len(OURS) > 80
    page = (ROOT / "docs/commands.md").read_text(encoding="utf-8")
    assert {name for name in COMMANDS if f"| `{name}`" in page or f", `{name}` |" in page} == {*COMMANDS}


@pytest.mark.parametrize("words", OURS, ids=" ".join)
@pytest.mark.usefixtures("stop_after_reading", "folder")
def test_the_parser_knows_every_word(words):
    command, *rest = words
    if command == "fit":
        read_fit(rest)
        return
    if command == "check-strategy":
        read_fit(["--config", "digits", "--query", *rest])
        return
    with pytest.raises(Read) as read:
        COMMANDS[command](rest)
    passed_on = read.value.args[0]
    if command == "embed":
        _parse(_split(rest)[1])
    elif command == "sweep":
        read_fit(passed_on)
    elif command == "datasets" and passed_on:
        read_fit(["--config", "digits", "--data", *passed_on])
    elif passed_on:
        read_fit(["--config", "image_folder", *passed_on])


@pytest.mark.parametrize("line", QUICK)
def test_a_quick_command_runs(line, folder, capsys):
    assert tuple(line.split()) in OURS
    with suppress(SystemExit):  # --print_config ends so
        assert main(line.split()) == 0
    assert capsys.readouterr().out


def test_other_programs_exist():
    """Modules that a line runs, files that it names, extras that it installs."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    for page, words in LINES:
        if words[:2] == ["python", "-m"] and words[2].startswith("benchmarks"):
            assert importlib.util.find_spec(words[2]), (page, words)
        for extra in re.findall(r"(?:msal_lightning|\.)\[([\w,-]+)\]", " ".join(words)):
            assert {*extra.split(",")} <= {*extras}, (page, words)
        for word in words:
            if re.match(r"(tests|benchmarks|docs|configs)/", word):
                assert (ROOT / word.partition("::")[0]).exists(), (page, words)


def test_python_on_the_pages_can_be_read_and_imports_what_there_is():
    blocks = [
        (page.name, block) for page in PAGES for block in re.findall(r"```python\n(.*?)```", text_of(page), re.DOTALL)
    ]
    assert len(blocks) > 10
    for page, block in blocks:
        for node in ast.walk(ast.parse(block, page)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("msal_lightning"):
                module = importlib.import_module(node.module)
                assert [name.name for name in node.names if not hasattr(module, name.name)] == [], page
