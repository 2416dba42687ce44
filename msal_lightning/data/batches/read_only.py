"""Data that a stranger's configuration names are read, and nothing is downloaded or kept beside them."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_read_only = ContextVar("_read_only", default=False)


@contextmanager
def read_only(on: bool = True) -> Iterator[None]:
    """Within it no dataset writes.

    Args:
        on: False changes nothing.
    """
    token = _read_only.set(on or _read_only.get())
    try:
        yield
    finally:
        _read_only.reset(token)


def is_read_only() -> bool:
    """Return whether datasets must not write now."""
    return _read_only.get()
