"""Names of files in messages."""

from collections.abc import Sequence

_NAMED = 5


def name_some(names: Sequence[str]) -> str:
    """Return the first few names and the number of the others."""
    rest = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(f"'{name}'" for name in names[:_NAMED]) + rest
