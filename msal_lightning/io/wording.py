"""Numbers with their nouns, and long lists in few words."""

from collections.abc import Sequence


def counted(number: int, noun: str) -> str:
    """Return a number with its noun: ``1 image``, ``2,400 images``, ``2 classes``, ``3 queries``.

    Args:
        number: the number.
        noun: the noun in the singular.
    """
    if number == 1:
        return f"1 {noun}"
    if noun.endswith("y"):
        return f"{number:,} {noun[:-1]}ies"
    return f"{number:,} {noun}{'es' if noun.endswith('s') else 's'}"


def first_few(values: Sequence[object], most: int = 5) -> str:
    """Return the first values of a list and how many follow: ``3, 7, 8 and 12 more``.

    Args:
        values: what to list.
        most: largest number of values to show.
    """
    shown = ", ".join(map(str, values[:most]))
    return f"{shown} and {len(values) - most:,} more" if len(values) > most else shown
