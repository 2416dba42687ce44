"""HTML pages in a single file that need no server and no network."""

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


def render(package: str, name: str, title: str, data: Any) -> str:
    """Render a page from ``NAME.html``, ``NAME.css`` and ``NAME.js`` in a package.

    Args:
        package: package with the three files.
        name: name of the three files.
        title: title of the page, plain text.
        data: data for the script in ``#data``; plain JSON values, escaped so that they cannot leave their ``script``
            element.
    """
    folder = files(package)
    page, style, script = ((folder / f"{name}.{kind}").read_text(encoding="utf-8") for kind in ("html", "css", "js"))
    return _PAGES.from_string(page).render(title=title, style=Markup(style), script=Markup(script), data=data)
