"""``did you mean``: known words that resemble a wrong one."""

import difflib
from collections.abc import Iterable


def near(word: str, known: Iterable[str], most: int = 2) -> list[str]:
    """Return the known words that resemble a word, ignoring case.

    Args:
        word: what was written.
        known: what could have been meant.
        most: largest number to return.
    """
    by_lower = {name.lower(): name for name in known}
    return [by_lower[name] for name in difflib.get_close_matches(word.lower(), by_lower, n=most, cutoff=0.6)]


def did_you_mean(word: str, known: Iterable[str], prefix: str = "") -> str:
    """Return the end of an error message: ``: did you mean Entropy?``, or nothing where no known word is near.

    Args:
        word: what was written.
        known: what could have been meant.
        prefix: put before each suggestion, ``--`` for options.
    """
    found = near(word, known)
    return f": did you mean {' or '.join(prefix + name for name in found)}?" if found else ""
