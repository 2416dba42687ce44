"""rich's console with escaped control characters in texts."""

from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from msal_lightning.io.terminal import clean


class SafeConsole(Console):
    """Keeps rich's own control codes and escapes those in the shown texts."""

    def __init__(self, **options: Any) -> None:
        # no markup or emoji: a class named "[link=...]x" or ":cat:" is shown literally
        super().__init__(**{"markup": False, "emoji": False, **options})

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:  # noqa: D102
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(clean(segment.text), segment.style)


def shared_console() -> SafeConsole:
    """Return the console that all commands share."""
    return _SHARED


_SHARED = SafeConsole()
