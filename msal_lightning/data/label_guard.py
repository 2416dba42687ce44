"""Labels are inaccessible while a strategy scores or selects, so that it cannot use them."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_hidden: ContextVar[bool] = ContextVar("forbid_label_access", default=False)


class LabelAccessError(Exception):
    """A strategy tried to read labels through a data module or an oracle."""


@contextmanager
def forbid_label_access() -> Iterator[None]:
    """Make every access to labels in this context raise :class:`LabelAccessError`."""
    token = _hidden.set(True)
    try:
        yield
    finally:
        _hidden.reset(token)


def refuse_if_forbidden() -> None:
    """Check for a running query; every holder of labels calls this before it reveals them.

    Raises:
        LabelAccessError: a query is being computed.
    """
    if _hidden.get():
        raise LabelAccessError(
            "labels were read while the query was computed: a strategy sees the model's outputs only"
        )
