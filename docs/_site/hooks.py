"""Pages of the site that lie elsewhere in the repository: README, notebooks, and the files to which pages link."""

import json
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
MOVED = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
_BARE = re.compile(r"(?<![\w`(\[/])docs/([\w-]+\.md)(?![\w`)\]])")
_LINK = re.compile(r"\]\(([^)\s#]+)((?:#[^)\s]*)?)\)")
_LANGUAGES = {".py": "python", ".yaml": "yaml", ".csv": "text"}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages, and a page for each file that a page links to."""
    sources = {file.src_uri: f"docs/{file.src_uri}" for file in files.documentation_pages()}
    for name, uri in MOVED.items():
        sources[uri] = name
        files.append(File.generated(config, uri, content=(ROOT / name).read_text(encoding="utf-8")))
    for book in sorted(ROOT.glob("notebooks/*.ipynb")):
        sources[f"notebooks/{book.stem}.md"] = f"notebooks/{book.name}"
        files.append(File.generated(config, f"notebooks/{book.stem}.md", content=notebook(book)))
    linked = {
        target
        for name in sources.values()
        if name.endswith(".md")
        for target in _targets(name)
        if not target.startswith(("docs/", "notebooks/")) and target not in MOVED
    }
    for target in sorted(linked):
        files.append(File.generated(config, _uri(target), content=_listing(target)))
    config.extra["sources"] = sources
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, **_: Any) -> str:
    """Let links to files of the repository lead to their pages."""
    markdown = markdown.replace(r"\<", "&lt;")  # an escape that Python's Markdown does not know
    uri = page.file.src_uri
    source = config.extra["sources"].get(uri)
    if source is None:  # the page of a file
        return markdown

    if source in MOVED:  # which name pages in plain words, to be read in an editor
        markdown = _BARE.sub(r"[\1](docs/\1)", markdown)

    def moved(link: re.Match[str]) -> str:
        target = _resolve(source, link[1])
        if not (ROOT / target).is_file():
            return link[0]
        return f"]({posixpath.relpath(_uri(target), posixpath.dirname(uri) or '.')}{link[2]})"

    return _LINK.sub(moved, markdown)


def notebook(file: Path) -> str:
    """Return the cells of a notebook and their stored outputs as Markdown."""
    return "\n\n".join(part for cell in json.loads(file.read_text(encoding="utf-8"))["cells"] for part in _cell(cell))


def _cell(cell: dict[str, Any]) -> Iterator[str]:
    if cell["cell_type"] != "code":
        yield "".join(cell["source"])
        return
    yield f"```python\n{''.join(cell['source'])}\n```"
    for output in cell["outputs"]:
        data = output.get("data", {})
        if "image/png" in data:
            picture = "".join(data["image/png"]).replace("\n", "")
            yield f'<img alt="output of the cell above" src="data:image/png;base64,{picture}">'
        elif "text/markdown" in data:
            yield "".join(data["text/markdown"])
        elif text := "".join(output.get("text", data.get("text/plain", ""))):
            yield f"```text\n{text.rstrip()}\n```"


def _listing(target: str) -> str:
    """Show a file as it is; search leaves it out."""
    text = (ROOT / target).read_text(encoding="utf-8").rstrip()
    title = f"---\nsearch:\n  exclude: true\n---\n\n# {posixpath.basename(target)}\n\n`{target}`\n\n"
    if target.endswith(".md"):
        return f"{title}{text.partition(chr(10))[2]}\n"
    return f"{title}````{_LANGUAGES.get(posixpath.splitext(target)[1], 'text')}\n{text}\n````\n"


def _targets(name: str) -> Iterator[str]:
    for link in _LINK.finditer((ROOT / name).read_text(encoding="utf-8")):
        target = _resolve(name, link[1])
        if "://" not in link[1] and (ROOT / target).is_file():
            yield target


def _resolve(name: str, link: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(name), link))


def _uri(target: str) -> str:
    """Return the place in the site of a file of the repository."""
    if target.startswith("docs/"):
        return target.removeprefix("docs/")
    if target.startswith("notebooks/"):
        return f"{posixpath.splitext(target)[0]}.md"
    return MOVED.get(target, f"files/{target}.md")
