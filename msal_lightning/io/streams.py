"""Output on terminals of any kind: those that know ASCII alone, and none at all."""

import codecs
import os
import sys

_PLAIN = str.maketrans(
    {"–": "-", "—": "-", "−": "-", "━": "=", "─": "-", "×": "x", "±": "+/-", "…": "...", "·": ".", "→": "->", "≥": ">="}
    | {"‘": "'", "’": "'", "“": '"', "”": '"', "✓": "+", "⠋": "*", "│": "|", "╸": "=", "╺": "="}
)
_HANDLER = "msal_lightning.plain"


def make_output_safe() -> None:
    """Let every character be printed: one that the terminal lacks is put in ASCII, or written out by its number.

    A process that was started without standard output or error gets one that goes nowhere.
    """
    codecs.register_error(_HANDLER, _plain)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123 - for the whole process
        elif hasattr(stream, "reconfigure"):  # a notebook's has none, and knows all characters
            stream.reconfigure(errors=_HANDLER)


def _plain(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end].translate(_PLAIN)
    return text.encode("ascii", "backslashreplace").decode("ascii"), error.end
