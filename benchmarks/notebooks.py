"""Runs the notebooks, and stores what they print and draw: ``python -m benchmarks.notebooks [NAME ...]``.

Each notebook is made anew from its script, so run this after a change of ``notebooks/NAME.py``.
"""

import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir

import jupytext
import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode
from nbformat.v4 import new_output

FOLDER = Path(__file__).parent.parent / "notebooks"
_TERMINAL = re.compile(r"\x1b\[[\d;]*[A-Za-z]")
_TEMPORARY = re.compile(rf"{re.escape(gettempdir())}/tmp\w+")
_METADATA = ("jupytext", "kernelspec")  # the rest names versions of this machine


def execute(name: str) -> None:
    """Make a notebook from its script, run it in an empty folder, and write it with its outputs."""
    notebook = jupytext.read(FOLDER / f"{name}.py")
    with TemporaryDirectory() as folder:
        NotebookClient(notebook, timeout=1_800, resources={"metadata": {"path": folder}}).execute()
    notebook.metadata = {key: value for key, value in notebook.metadata.items() if key in _METADATA}
    for number, cell in enumerate(notebook.cells):
        cell.id = f"{name}-{number}"  # not a random one, so that the file changes with its content only
        cell.metadata.pop("execution", None)  # times
        if cell.cell_type == "code":
            cell.outputs = list(_shown(cell.outputs))
    nbformat.write(notebook, FOLDER / f"{name}.ipynb")
    print(f"{name}.ipynb: {(FOLDER / f'{name}.ipynb').stat().st_size / 1_000:.0f} kB")


def _shown(outputs: Sequence[NotebookNode]) -> Iterator[NotebookNode]:
    """Yield outputs without warnings of other libraries, codes of a terminal, and names of temporary folders."""
    printed = ""
    for output in outputs:
        if output.output_type != "stream":
            if printed:
                yield new_output("stream", name="stdout", text=printed)
            printed = ""
            yield output
        elif output.name == "stdout":
            printed += _TEMPORARY.sub("/tmp/notebook", _TERMINAL.sub("", output.text))
    if printed:
        yield new_output("stream", name="stdout", text=printed)


if __name__ == "__main__":
    for one in sys.argv[1:] or sorted(file.stem for file in FOLDER.glob("*.py")):
        execute(one)
