"""Labels are hidden while a strategy scores or selects: it may not look at what it is asked to choose."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_hidden: ContextVar[bool] = ContextVar("forbid_label_access", default=False)


class LabelAccessError(Exception):
    """A strategy reached for labels, through a data module or an oracle that it holds."""


@contextmanager
def forbid_label_access() -> Iterator[None]:
    """While it lasts, whoever reads labels gets :class:`LabelAccessError`."""
    token = _hidden.set(True)
    try:
        yield
    finally:
        _hidden.reset(token)


def refuse_if_forbidden() -> None:
    """Called by everything that holds labels, before it gives them out.

    Raises:
        LabelAccessError: a query is being computed.
    """
    if _hidden.get():
        raise LabelAccessError(
            "labels were read while the query was computed: a strategy sees the model's outputs only"
        )
