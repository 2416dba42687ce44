"""What the package has to offer, read from its source files without importing torch."""

import ast
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parent


def classes(folder: str, root: str) -> dict[str, str]:
    """All concrete classes below a base class, with the first line of their docstrings.

    Args:
        folder: of the package, ``strategies`` or ``data``.
        root: name of the base class, ``Strategy`` for example.

    Returns:
        Name to sentence, in alphabetical order.
    """
    found = {node.name: node for file in sorted((PACKAGE / folder).glob("*.py")) for node in _class_nodes(file)}

    def is_below_root(name: str) -> bool:
        bases = [base.id for base in found[name].bases if isinstance(base, ast.Name)] if name in found else []
        return root in bases or any(map(is_below_root, bases))

    return {
        name: (ast.get_docstring(node) or "").partition("\n")[0]
        for name, node in sorted(found.items())
        if is_below_root(name) and not name.startswith("_") and not _is_abstract(node)
    }


def strategies() -> None:
    """List the query strategies (--query NAME)."""
    _show(classes("strategies", "Strategy"))


def datasets() -> None:
    """List the datasets (--data NAME)."""
    _show(classes("data", "ActiveDataModule"))


def _class_nodes(file: Path) -> Iterator[ast.ClassDef]:
    return (node for node in ast.parse(file.read_text()).body if isinstance(node, ast.ClassDef))


def _is_abstract(node: ast.ClassDef) -> bool:
    methods = (item for item in node.body if isinstance(item, ast.FunctionDef))
    return any(
        isinstance(decorator, ast.Name) and decorator.id == "abstractmethod"
        for method in methods
        for decorator in method.decorator_list
    )


def _show(rows: dict[str, str]) -> None:
    width = max(map(len, rows))
    for name, sentence in rows.items():
        print(f"{name:{width}}  {sentence.replace('`', '')}")
