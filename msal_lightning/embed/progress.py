"""How far an embedding is: a bar in a terminal, a line every 30 seconds elsewhere."""

import time
from types import TracebackType
from typing import Self

from msal_lightning.io.progress_bar import progress_bar
from msal_lightning.io.terminal import say

_PLAIN_SECONDS = 30


class EmbedProgress:
    """Shows the number of images that have features, and how fast they come.

    Args:
        total: number of images.
        shown: whether anything is printed.
        what: name of what is counted.
    """

    def __init__(self, total: int, shown: bool = True, what: str = "images") -> None:
        self._shown, self._what = shown, what
        self._total, self._done, self._computed = total, 0, 0
        self._start = self._last_line = time.monotonic()
        self._bar = progress_bar() if shown else None
        self._task = None if self._bar is None else self._bar.add_task(what, total=total)

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def advance(self, images: int, computed: bool = True) -> None:
        """Count images.

        Args:
            images: how many more have features.
            computed: whether they were computed now, instead of before an interruption.
        """
        self._done += images
        self._computed += images if computed else 0
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=self._done, description=f"{self.rate:,.0f} {self._what}/s")
        elif self._shown and time.monotonic() - self._last_line > _PLAIN_SECONDS:
            self._last_line = time.monotonic()
            say(f"{self._done:,} of {self._total:,} {self._what}, {self.rate:,.0f} a second", flush=True)

    @property
    def rate(self) -> float:
        """Images per second of this run."""
        return self._computed / max(time.monotonic() - self._start, 1e-9)
