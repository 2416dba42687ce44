"""Output on any terminal, including ASCII terminals and no terminal."""

import codecs
import os
import sys

_PLAIN = str.maketrans(
    {"–": "-", "—": "-", "−": "-", "━": "=", "─": "-", "×": "x", "±": "+/-", "…": "...", "·": ".", "→": "->", "≥": ">="}
    | {"‘": "'", "’": "'", "“": '"', "”": '"', "✓": "+", "⠋": "*", "│": "|", "╸": "=", "╺": "="}
)
_HANDLER = "msal_lightning.plain"


def make_output_safe() -> None:
    """Make every character printable: characters that the terminal lacks become ASCII or their number.

    A process without standard output or error gets a stream that discards its text.
    """
    codecs.register_error(_HANDLER, _plain)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123 - for the whole process
        elif hasattr(stream, "reconfigure"):  # a notebook's stream lacks the method and prints all characters
            stream.reconfigure(errors=_HANDLER)


def _plain(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end].translate(_PLAIN)
    return text.encode("ascii", "backslashreplace").decode("ascii"), error.end
