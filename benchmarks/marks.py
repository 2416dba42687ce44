"""Pages with tables that a command rewrites: each stands between ``<!-- NAME -->`` and ``<!-- end -->``."""

import re
from collections.abc import Mapping
from pathlib import Path


def fill(page: Path, parts: Mapping[str, str]) -> str:
    """Return the text of a page with other tables.

    Args:
        page: a Markdown file.
        parts: name of a mark to what stands below it.

    Raises:
        SystemExit: the page lacks a mark.
    """
    text = page.read_text(encoding="utf-8")
    for name, content in parts.items():
        mark = rf"(<!-- {re.escape(name)} -->).*?(<!-- end -->)"
        if len(re.findall(mark, text, re.DOTALL)) != 1:
            raise SystemExit(f"expected the mark '<!-- {name} -->' once in {page}, and '<!-- end -->' below: add it")
        text = re.sub(
            mark, lambda match, content=content: f"{match[1]}\n\n{content}\n\n{match[2]}", text, flags=re.DOTALL
        )
    return text
