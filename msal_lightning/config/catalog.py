"""Lists the strategies and datasets from the package's source files, without importing torch."""

import ast
from functools import cache
from pathlib import Path
from typing import Any

from msal_lightning.io.terminal import say

PACKAGE = Path(__file__).parent.parent


def classes(folder: str, root: str) -> dict[str, str]:
    """Return all concrete subclasses of a class, with the first line of their docstrings.

    Args:
        folder: folder of the package, ``strategies`` or ``datasets``.
        root: name of the base class, ``Strategy`` for example.

    Returns:
        Name to sentence, in alphabetical order.
    """
    found = _class_nodes(folder)

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


def datasets(root: str) -> None:
    """List the datasets (--data NAME).

    Args:
        root: folder of their files.
    """
    rows = {}
    for name, sentence in classes("datasets", "ActiveDataModule").items():
        files, source = literal("datasets", name, "files"), literal("datasets", name, "source")
        there = not files or any((Path(root) / file).exists() for file in files)
        rows[name] = f"{'on disk' if there else 'missing'}  {sentence}" + (f" From {source}." if source else "")
    _show(rows)


def literal(folder: str, name: str, attribute: str) -> Any:
    """Return a class attribute that is a literal in the source of the class or a parent; None if there is none.

    Args:
        folder: folder of the package.
        name: name of the class.
        attribute: name of the attribute.
    """
    nodes = _class_nodes(folder)
    while name in nodes:
        for item in nodes[name].body:
            if isinstance(item, ast.Assign | ast.AnnAssign) and item.value is not None:
                targets = item.targets if isinstance(item, ast.Assign) else [item.target]
                if any(isinstance(target, ast.Name) and target.id == attribute for target in targets):
                    return ast.literal_eval(item.value)
        name = next((base.id for base in nodes[name].bases if isinstance(base, ast.Name)), "")
    return None


@cache
def _class_nodes(folder: str) -> dict[str, ast.ClassDef]:
    """Return the classes in a folder of the package, by name."""
    trees = (ast.parse(file.read_text(encoding="utf-8")) for file in sorted((PACKAGE / folder).glob("*.py")))
    return {node.name: node for tree in trees for node in tree.body if isinstance(node, ast.ClassDef)}


def _methods(node: ast.ClassDef) -> dict[str, bool]:
    """Return the names of the methods, each with whether it is abstract."""
    return {
        item.name: any(isinstance(d, ast.Name) and d.id == "abstractmethod" for d in item.decorator_list)
        for item in node.body
        if isinstance(item, ast.FunctionDef)
    }


def _show(rows: dict[str, str]) -> None:
    width = max(map(len, rows))
    for name, sentence in rows.items():
        say(f"{name:{width}}  {sentence.replace('`', '')}")
