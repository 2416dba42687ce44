"""rich's console, with the control characters of texts written out."""

from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from msal_lightning.io.terminal import clean


class SafeConsole(Console):
    """rich's own control codes are kept; those within what is shown are written out."""

    def __init__(self, **options: Any) -> None:
        # a class named "[link=...]x" or ":cat:" is shown as it is
        super().__init__(**{"markup": False, "emoji": False, **options})

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:  # noqa: D102
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(clean(segment.text), segment.style)


def shared_console() -> SafeConsole:
    """The one that all commands share."""
    return _SHARED


_SHARED = SafeConsole()
