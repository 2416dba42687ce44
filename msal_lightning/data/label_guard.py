"""Labels are hidden while a strategy scores or selects: it may not look at what it is asked to choose."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_hidden: ContextVar[bool] = ContextVar("labels_hidden", default=False)


class HiddenLabelsError(Exception):
    """A strategy reached for labels, through a data module or an oracle that it holds."""


@contextmanager
def labels_hidden() -> Iterator[None]:
    """While it lasts, whoever reads labels gets :class:`HiddenLabelsError`."""
    token = _hidden.set(True)
    try:
        yield
    finally:
        _hidden.reset(token)


def refuse_if_hidden() -> None:
    """Called by everything that holds labels, before it gives them out.

    Raises:
        HiddenLabelsError: a query is being computed.
    """
    if _hidden.get():
        raise HiddenLabelsError(
            "labels were read while the query was computed: a strategy sees the model's outputs only"
        )
