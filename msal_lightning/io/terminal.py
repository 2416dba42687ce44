"""Safe printing: texts from files and names cannot control the terminal."""

import re
import sys
from typing import IO

# C0 without tab and line end, DEL and C1; marks that turn the direction of text; line ends of others; what is no text
_STEERS = re.compile(
    "[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\u061c\\u200e\\u200f\\u2028-\\u202e\\u2066-\\u2069\\ud800-\\udfff]"
)


def clean(text: str) -> str:
    r"""Escape the control characters of a text: ESC becomes ``\x1b``.

    Args:
        text: any text, for example with names of files, runs and classes.
    """
    return _STEERS.sub(_written_out, text)


def say(*words: object, file: IO[str] | None = None, flush: bool = False) -> None:
    """Print without control characters.

    Args:
        words: words to print, separated by spaces.
        file: stream; standard output by default.
        flush: whether to flush the stream.
    """
    print(clean(" ".join(map(str, words))), file=file or sys.stdout, flush=flush)


def _written_out(found: re.Match[str]) -> str:
    number = ord(found[0])
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"
