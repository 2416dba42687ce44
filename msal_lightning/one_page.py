"""HTML pages in one file each, which need nothing else: no server and no network."""

import html
import json
import re
from importlib.resources import files
from typing import Any

# "<" would end the script element or open a comment in it; the two separators are line ends to JavaScript
_ESCAPES = str.maketrans({c: f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"})


def render(package: str, name: str, title: str, data: Any) -> str:
    """A page of ``NAME.html``, ``NAME.css`` and ``NAME.js`` in a package.

    Args:
        package: where they are.
        name: of the three.
        title: of the page; text.
        data: what the script finds in ``#data``; plain JSON values.
    """
    folder = files(package)
    page, style, script = ((folder / f"{name}.{kind}").read_text(encoding="utf-8") for kind in ("html", "css", "js"))
    values = {"TITLE": html.escape(title), "STYLE": style, "SCRIPT": script, "DATA": embed(data)}
    return re.sub("%(TITLE|STYLE|SCRIPT|DATA)%", lambda mark: values[mark[1]], page)


def embed(data: Any) -> str:
    """JSON that cannot leave a ``script`` element."""
    return json.dumps(data, ensure_ascii=False, allow_nan=False).translate(_ESCAPES)
