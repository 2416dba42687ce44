"""How a message names files."""

from collections.abc import Sequence

_NAMED = 5


def name_some(names: Sequence[str]) -> str:
    """The first few names, and how many more."""
    rest = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(f"'{name}'" for name in names[:_NAMED]) + rest
