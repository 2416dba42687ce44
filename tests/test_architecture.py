"""The folders are layers, tests lie where their modules do, and the public names are those that are promised."""

import ast
import importlib
import re
from pathlib import Path

import pytest

import msal_lightning

ROOT = Path(__file__).parents[1]
PACKAGE = "msal_lightning"
LAYERS = [  # each imports from itself and from those behind it
    "__main__", "cli", "serve", "sweep", "analysis", "inference", "config", "loop", "tracking", "runs", "stopping",
    "oracles", "arrays", "query", "strategies", "embed", "datasets", "models", "data", "training", "paper", "io",
    "seeding", "errors", "compat",
]  # fmt: skip
ABOUT_ALL = {"faults", "hostile"}  # folders of tests that are about no folder of the package


def modules(root):
    """All modules below a folder by dotted name, each with its file."""
    found = {}
    for file in sorted(root.glob(f"{PACKAGE}/**/*.py")):
        parts = file.relative_to(root).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


def imports(name, file, known):
    """What a module imports: at its top, in functions, for annotations; relative imports too."""
    package = name if file.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield from (f"{base}.{alias.name}" if f"{base}.{alias.name}" in known else base for alias in node.names)


def arrows(root):
    """Imports from module to module of the package, as pairs; the public face in its ``__init__`` aside."""
    known = modules(root)
    return {
        (name, other)
        for name, file in known.items()
        if name != PACKAGE
        for other in imports(name, file, known)
        if other == PACKAGE or other.startswith(f"{PACKAGE}.")
    }


def layer(module):
    """Position of the folder, or of the module at the root; an unknown one has none."""
    return LAYERS.index(module.split(".")[1])


def test_no_folder_imports_from_one_above_it():
    upwards = [(a, b) for a, b in arrows(ROOT) if layer(b) < layer(a)]
    assert not upwards


def test_no_module_leads_back_to_itself():
    after = {}
    for a, b in arrows(ROOT):
        after.setdefault(a, set()).add(b)
    done = set()

    def walk(module, path):
        assert module not in path, path[path.index(module) :]
        if module not in done:
            for other in after.get(module, set()) - {module}:
                walk(other, [*path, module])
            done.add(module)

    for module in after:
        walk(module, [])


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("io/a.py", "from msal_lightning.runs import b"),
        ("io/a.py", "import msal_lightning.runs.b"),
        ("io/a.py", "from ..runs import b"),
        ("io/a.py", "from ..runs.b import c"),
        ("io/a.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from msal_lightning.runs.b import c"),
        ("io/a.py", "def f():\n    from msal_lightning.runs.b import c"),
        ("io/deep/a.py", "from ...runs import b"),
        ("io/deep/__init__.py", "from ...runs import b"),
    ],
)
def test_an_arrow_is_seen_however_it_is_written(tmp_path, file, text):
    for name, content in {"runs/__init__.py": "", "runs/b.py": "c = 1", file: text}.items():
        (tmp_path / PACKAGE / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / PACKAGE / name).write_text(content)
    ((a, b),) = arrows(tmp_path)
    assert layer(b) < layer(a)


def test_every_folder_and_module_at_the_root_has_its_layer():
    at_root = {name.split(".")[1] for name in modules(ROOT) if "." in name}
    assert at_root == set(LAYERS)


def test_tests_lie_where_their_modules_do():
    """A test of the name of a module is in the folder of one of that name, and every folder mirrors one."""
    folders = {"": set()}
    for name in modules(ROOT):
        _, _, inside = name.partition(".")
        folder, _, module = inside.rpartition(".")
        folders.setdefault(folder.replace(".", "/"), set()).add(module)
    all_modules = set().union(*folders.values()) - {"main"}
    misplaced = []
    for file in sorted((ROOT / "tests").rglob("test_*.py")):
        folder = file.parent.relative_to(ROOT / "tests").as_posix().replace(".", "")
        if folder.split("/")[0] in ABOUT_ALL:
            continue
        module = file.stem.removeprefix("test_")
        known = {*folders.get(folder, ()), folder.rpartition("/")[2]}  # or the folder as a whole
        if folder not in folders or (module in all_modules and module not in known):
            misplaced.append(file.relative_to(ROOT).as_posix())
    assert not misplaced


def with_all():
    return [name for name in modules(ROOT) if hasattr(importlib.import_module(name), "__all__")]


@pytest.mark.parametrize("name", with_all())
def test_exported_members_exist_and_are_in_order(name):
    module = importlib.import_module(name)
    assert len(set(module.__all__)) == len(module.__all__)
    for member in module.__all__:
        assert getattr(module, member) is not None
    with pytest.raises(AttributeError, match="nothing"):
        module.nothing  # noqa: B018 - a lazy module says so too


def test_the_public_face_is_documented_and_typed():
    """What readers of README and notebooks import from the package itself, and what type checkers see of it."""
    face = (ROOT / PACKAGE / "__init__.py").read_text(encoding="utf-8")
    typed = {
        alias.name for node in ast.walk(ast.parse(face)) if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert typed - {"import_module", "TYPE_CHECKING", "Any"} == set(msal_lightning.__all__)
    pages = [ROOT / "README.md", *ROOT.glob("docs/*.md"), *ROOT.glob("notebooks/*.py")]
    texts = [page.read_text(encoding="utf-8") for page in pages]
    used = {
        name
        for text in texts
        for found in re.findall(rf"from {PACKAGE} import ([^\n(]+)", text)
        for name in found.split(", ")
    }
    assert {"ActiveLoop", "MSALClassifier", "RunDirectory"} <= used <= set(msal_lightning.__all__)
