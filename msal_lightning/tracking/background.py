"""Calls that may fail or take long, in a thread of their own."""

import queue
import threading
from collections.abc import Callable


class Background:
    """Runs calls one after the other in a daemon thread; after the first that raises it runs no more.

    Attributes:
        error: what that call raised; None so far.
    """

    def __init__(self) -> None:
        self.error: Exception | None = None
        self._calls: queue.SimpleQueue[Callable[[], None] | threading.Event] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def do(self, call: Callable[[], None]) -> None:
        """Run a call when those before it are done; return at once."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="tracker", daemon=True)
            self._thread.start()
        self._calls.put(call)

    def wait(self, seconds: float) -> bool:
        """Wait until the calls so far are done or dropped; False where that takes longer."""
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
                except Exception as error:  # whatever a logger raises
                    self.error = error
