"""Ctrl-C and SIGTERM: the first signal ends the run after the current batch, the second one at once."""

import os
import signal
import sys
import threading
import time
from types import FrameType, TracebackType
from typing import Any, Self

from lightning.pytorch import LightningModule, Trainer

from msal_lightning.compat import add_to_requeue_handler
from msal_lightning.errors import UserError
from msal_lightning.training.distributed import Ranks, lost
from msal_lightning.training.failures import is_lost_worker
from msal_lightning.training.step_callback import StepCallback

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_RANK_0_ENDS = 2.0  # seconds that rank 0 needs to end the others
_LEFT_ALONE = {getattr(signal, name, None) for name in ("SIGKILL", "SIGSTOP", "SIGTERM")}  # Windows lacks two of them


class Stopped(KeyboardInterrupt):
    """A signal ended the loop; nothing recorded is lost.

    Args:
        signum: number of the signal.
        where: position of the loop.
    """

    def __init__(self, signum: int, where: str) -> None:
        super().__init__(f"stopped by {signal.Signals(signum).name} in {where}")
        self.signum = signum
        self.where = where


class _StopRequestedError(Exception):
    """Passes through a Trainer, which would turn a KeyboardInterrupt into exit code 1."""


class GracefulShutdown(StepCallback):
    """A context in which the first signal ends the loop after the current batch or step, the second one at once.

    Attributes:
        where: position of the loop, for the message.
    """

    def __init__(self) -> None:
        self.where = "its start"
        self._signum: int | None = None
        self._before: dict[int, Any] = {}
        self._pid = os.getpid()
        self._ranks = Ranks()

    def check(self) -> None:
        """Raise if a signal has arrived; the loop calls this where it may end."""
        if self._signum is not None and not self._ranks.launched_here:  # rank 0 ends such a rank
            raise _StopRequestedError

    def listen_as(self, ranks: Ranks) -> Self:
        """Use the ranks: only rank 0 prints, and it ends the processes that it started."""
        self._ranks = ranks
        return self

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = {signum: signal.getsignal(signum) for signum in _SIGNALS}
            self._listen()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        signum, self._signum = self._signum, None
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
        if signum is None or error is None:
            return
        without_workers = is_lost_worker(error)
        if without_workers and self._ranks.launched_here:
            time.sleep(_RANK_0_ENDS)
            raise UserError(str(error), reported=True) from None  # rank 0 reports the error
        if without_workers or isinstance(error, _StopRequestedError) or lost(error):
            raise Stopped(signum, self.where) from None

    def _listen(self) -> None:
        for signum in self._before:  # none outside the main thread
            signal.signal(signum, self._note)

    def _note(self, signum: int, frame: FrameType | None) -> None:
        if os.getpid() != self._pid:  # a worker
            return
        if self._ranks.launched_here:  # rank 0 ends this process, unless it loses its workers before
            self._signum = signum
            return
        if self._signum is not None:
            signal.signal(signum, signal.SIG_DFL)
            os.kill(os.getpid(), signum)
        self._signum = signum
        for number in _SIGNALS:  # the default ends a process even inside a long computation
            signal.signal(number, signal.SIG_DFL)
        if self._ranks.is_zero:
            show_cursor = "\x1b[?25h" if sys.stderr.isatty() else ""  # a progress bar hides it
            name = signal.Signals(signum).name
            os.write(2, f"{show_cursor}\n{name}: stopping after this batch; once more stops at once\n".encode())

    # Lightning puts its own handler for SIGTERM in front before each of these; it would broadcast inside the handler

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: D102
        self._listen_again()

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: D102
        self._listen_again()

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: D102
        self._listen_again()

    def _listen_again(self) -> None:
        self.check()
        self._listen()
        if not self._before:
            return
        for signum in signal.valid_signals() - _LEFT_ALONE:
            both = add_to_requeue_handler(signal.getsignal(signum), self._note)
            if both is not None:  # more training is useless once the job is requeued
                signal.signal(signum, both)

    def on_step_end(self, *args: Any, **kwargs: Any) -> None:  # noqa: D102
        self.check()

    def on_test_batch_end(self, *args: Any, **kwargs: Any) -> None:  # noqa: D102
        self.check()

    def on_predict_batch_end(self, *args: Any, **kwargs: Any) -> None:  # noqa: D102
        self.check()
