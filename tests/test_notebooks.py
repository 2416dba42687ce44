"""The notebooks run, and are what their scripts say."""

from pathlib import Path

import jupytext
import nbclient
import nbformat
import pytest

FOLDER = Path(__file__).parent.parent / "notebooks"
SCRIPTS = sorted(file.stem for file in FOLDER.glob("*.py"))


@pytest.mark.parametrize("name", SCRIPTS)
def test_is_made_from_its_script(name):
    script, notebook = jupytext.read(FOLDER / f"{name}.py"), jupytext.read(FOLDER / f"{name}.ipynb")
    cells = [[(cell.cell_type, cell.source) for cell in book.cells] for book in (script, notebook)]
    assert cells[0] == cells[1], f"run `jupytext --to ipynb notebooks/{name}.py`"


@pytest.mark.parametrize("name", SCRIPTS)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_runs(name, tmp_path):
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": tmp_path}}).execute()
    errors = [out for cell in notebook.cells for out in cell.get("outputs", []) if out.output_type == "error"]
    assert not errors
