"""Docstrings as Markdown: roles and blocks become code, references a list with links, loop options show defaults."""

import re
import textwrap
from typing import Any

import griffe

_ROLE = re.compile(r":(?:class|meth|func|attr|data|mod):`(~?)\.?([\w.]+)`")
_BLOCK = re.compile(r"::\n\n((?:    .*\n?|\n(?=    ))+)")
_ARXIV = re.compile(r"\barXiv (\d{4}\.\d{4,5})\b")
_REFERENCE = re.compile(r"^\[(\d)\] ", re.MULTILINE)


class PlainMarkdown(griffe.Extension):
    """Rewrites what is read from the source before it is parsed."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite a docstring."""
        if obj.docstring:
            text = _ROLE.sub(_name, obj.docstring.value)
            text = _BLOCK.sub(lambda code: f":\n\n```python\n{textwrap.dedent(code[1]).rstrip()}\n```\n", text)
            text = re.sub(r"^Example:$", "Examples:", text, flags=re.MULTILINE)  # the name of the section elsewhere
            text = _ARXIV.sub(r"[arXiv \1](https://arxiv.org/abs/\1)", text)
            obj.docstring.value = _REFERENCE.sub(r"- \\[\1\\] ", text)

    def on_attribute_instance(self, *, attr: griffe.Attribute, **_: Any) -> None:
        """Show ``_option(1, alters_result=True)`` of a loop option as 1."""
        if isinstance(attr.value, griffe.ExprCall) and str(attr.value.function) == "_option":
            attr.value = attr.value.arguments[0]


def _name(role: re.Match[str]) -> str:
    return f"`{role[2].rpartition('.')[2] if role[1] else role[2]}`"
