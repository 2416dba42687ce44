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

    def bases(name: str) -> list[str]:
        return [base.id for base in found[name].bases if isinstance(base, ast.Name)] if name in found else []

    def is_below_root(name: str) -> bool:
        return root in bases(name) or any(map(is_below_root, bases(name)))

    def abstract(name: str) -> set[str]:
        inherited = set[str]().union(*map(abstract, bases(name)))
        methods = _methods(found[name]) if name in found else {}
        return (inherited - set(methods)) | {method for method, is_abstract in methods.items() if is_abstract}

    return {
        name: (ast.get_docstring(node) or "").partition("\n")[0]
        for name, node in sorted(found.items())
        if is_below_root(name) and not name.startswith("_") and not abstract(name)
    }


def strategies() -> None:
    """List the query strategies (--query NAME)."""
    _show(classes("strategies", "Strategy"))


def datasets() -> None:
    """List the datasets (--data NAME)."""
    _show(classes("data", "ActiveDataModule"))


def _class_nodes(file: Path) -> Iterator[ast.ClassDef]:
    return (node for node in ast.parse(file.read_text()).body if isinstance(node, ast.ClassDef))


def _methods(node: ast.ClassDef) -> dict[str, bool]:
    """Names of its methods, each with whether it is abstract."""
    return {
        item.name: any(isinstance(d, ast.Name) and d.id == "abstractmethod" for d in item.decorator_list)
        for item in node.body
        if isinstance(item, ast.FunctionDef)
    }


def _show(rows: dict[str, str]) -> None:
    width = max(map(len, rows))
    for name, sentence in rows.items():
        print(f"{name:{width}}  {sentence.replace('`', '')}")
