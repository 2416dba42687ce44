"""``python -m benchmarks [NAME ...]``: measure, print, and write docs/benchmarks.json and docs/benchmarks.md."""

import argparse
import ast
import json
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import rich
from rich.table import Table

from benchmarks.measure import measure

HERE = Path(__file__).parent
DOCS = HERE.parent / "docs"
INTRODUCTION = """\
# Benchmarks

`python -m benchmarks` wrote these tables, on a quiet machine. Each figure is the median of five runs in turn (A B A
B) in one process. A ratio is the median of the ratios of neighbouring runs, with the smallest and the largest ratio
in brackets; it need not equal the ratio of the two medians beside it. A target counts as "not resolved" if this
spread is wider than the distance to the target. Values without brackets were measured once, or before 2026-11-26,
when the spread was not kept. `python -m benchmarks NAME` measures one table again. [performance.md](performance.md)
interprets the tables.
"""


def names() -> dict[str, str]:
    """Every file here with a function ``run``, and the first line of its docstring."""
    found = {}
    for file in sorted(HERE.glob("*.py")):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        if any(isinstance(node, ast.FunctionDef) and node.name == "run" for node in tree.body):
            found[file.stem] = (ast.get_docstring(tree) or "").partition("\n")[0]
    return found


def cells(row: dict[str, Any]) -> list[str]:
    """A row as text."""
    figures = ", ".join(f"{name} {_short(value)}" for name, value in row["figures"].items())
    target = "" if row["target"] is None else f"{'≥' if row['at_least'] else '≤'} {_short(row['target'])}"
    value = row["value"]
    if isinstance(value, dict):
        value = f"{_short(value['median'])} ({_short(value['low'])}–{_short(value['high'])})"
    else:
        value = _short(value)
    return [row["case"], figures, value, target, row["met"]]


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def show(name: str, result: dict[str, Any]) -> None:
    """Print a benchmark's table."""
    table = Table("case", "measured", "value", "target", "met", title=name, title_justify="left")
    for row in result["rows"]:
        table.add_row(*cells(row))
    rich.print(table)


def page(results: dict[str, dict[str, Any]]) -> str:
    """All benchmarks as Markdown."""
    lines = [INTRODUCTION]
    for name, what in names().items():
        if result := results.get(name):
            lines += [f"## {name}", "", what, "", "| case | measured | value | target | met |", "|---|---|---|---|---|"]
            lines += [f"| {' | '.join(cells(row))} |" for row in result["rows"]]
            lines += ["", f"{result['date']}, {result['machine']}, load {result['load_before']} before it.", ""]
    return "\n".join(lines)


def main() -> None:
    """Run the named benchmarks, each in a process of its own, and write the tables."""
    available = names()
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="\n".join(f"{name:18} {what}" for name, what in available.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="which ones (default: all)")
    chosen = parser.parse_args().names or list(available)
    if unknown := set(chosen) - set(available):
        parser.error(f"expected some of {', '.join(available)}, got {', '.join(sorted(unknown))}")
    file = DOCS / "benchmarks.json"
    for name in chosen:
        # a process of its own: peaks of memory, threads and allocators of one must not reach the next
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
            result = process.submit(measure, name).result()
        show(name, result)
        results = json.loads(file.read_text()) if file.exists() else {}
        results[name] = result
        file.write_text(json.dumps({key: results[key] for key in sorted(results)}, indent=1) + "\n")
        (DOCS / "benchmarks.md").write_text(page(results))


if __name__ == "__main__":
    main()
