"""HTML pages in a single file that need no server and no network."""

from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

_PAGES = Environment(
    loader=PackageLoader(__package__, "."),  # for page_head.html, the head of every page
    autoescape=True,
    undefined=StrictUndefined,
    keep_trailing_newline=True,
)
_PAGES.policies["json.dumps_kwargs"] = {"ensure_ascii": True, "allow_nan": False}


def render(package: str, name: str, title: str, data: Any, scripts: Sequence[str] = ()) -> str:
    """Render a page from ``NAME.html``, ``NAME.css`` and scripts in a package.

    Args:
        package: package with the files.
        name: name of page and style.
        title: title of the page, plain text.
        data: data for the script in ``#data``; plain JSON values, escaped so that they cannot leave their ``script``
            element.
        scripts: names of the scripts without ``.js``, in the order in which they run; by default that of the page.
    """
    folder = files(package)
    page, style = ((folder / f"{name}.{kind}").read_text(encoding="utf-8") for kind in ("html", "css"))
    script = "\n".join((folder / f"{part}.js").read_text(encoding="utf-8") for part in scripts or [name])
    return _PAGES.from_string(page).render(title=title, style=Markup(style), script=Markup(script), data=data)
