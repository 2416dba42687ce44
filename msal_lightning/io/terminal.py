"""All that is printed goes through here: what comes from files and names cannot steer the terminal."""

import re
import sys
from typing import IO

# C0 without tab and line end, DEL and C1; marks that turn the direction of text; line ends of others; what is no text
_STEERS = re.compile(
    "[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\u061c\\u200e\\u200f\\u2028-\\u202e\\u2066-\\u2069\\ud800-\\udfff]"
)


def clean(text: str) -> str:
    r"""A text whose control characters are written out: ESC becomes ``\x1b``.

    Args:
        text: with names of files, runs and classes, or anything else that a file may hold.
    """
    return _STEERS.sub(_written_out, text)


def say(*words: object, file: IO[str] | None = None, flush: bool = False) -> None:
    """``print`` without control characters.

    Args:
        words: to be printed, with spaces between.
        file: standard output by default.
        flush: at once.
    """
    print(clean(" ".join(map(str, words))), file=file or sys.stdout, flush=flush)


def _written_out(found: re.Match[str]) -> str:
    number = ord(found[0])
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"
