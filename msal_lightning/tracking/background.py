"""Runs calls that may fail or take long in a separate thread."""

import queue
import threading
from collections.abc import Callable


class Background:
    """Runs calls one after the other in a daemon thread, until one raises an error.

    Attributes:
        error: the error of that call; None before.
    """

    def __init__(self) -> None:
        self.error: Exception | None = None
        self._calls: queue.SimpleQueue[Callable[[], None] | threading.Event] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def do(self, call: Callable[[], None]) -> None:
        """Queue a call, and return at once."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="tracker", daemon=True)
            self._thread.start()
        self._calls.put(call)

    def wait(self, seconds: float) -> bool:
        """Wait until all queued calls are done or dropped; return False if that takes longer than ``seconds``."""
        if self._thread is None:
            return True
        done = threading.Event()
        self._calls.put(done)
        return done.wait(seconds)

    def _work(self) -> None:
        while True:
            call = self._calls.get()
            if isinstance(call, threading.Event):
                call.set()
            elif self.error is None:
                try:
                    call()
                except Exception as error:  # a logger may raise anything
                    self.error = error
