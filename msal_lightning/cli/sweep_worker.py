"""``python -m msal_lightning.cli.sweep_worker fit ...``: a fit that does not outlive the sweep that started it."""

import os
import signal
import sys
import threading
import time
from pathlib import Path

from msal_lightning.cli.main import main
from msal_lightning.io.lock import DirectoryLock

_PATIENCE = 30.0  # seconds for a process of a sweep that was killed to be gone


def end_with_sweep() -> None:
    """End at once when the other end of standard input is closed, however the sweep ended.

    A killed fit loses nothing that is recorded; one that went on would hold the lock of its run directory against the
    sweep that is started again.
    """

    def wait() -> None:
        while os.read(0, 1):
            pass
        os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))  # Windows has the second one only

    threading.Thread(target=wait, daemon=True).start()


def wait_for_lock(run_dir: Path, patience: float = _PATIENCE) -> None:
    """Wait for a former process of the same cell; what still holds the lock then is refused by ``fit``."""
    lock = DirectoryLock(run_dir / "lock")
    until = time.monotonic() + patience
    while lock.holder() and time.monotonic() < until:
        time.sleep(0.2)


if __name__ == "__main__":
    end_with_sweep()
    if "--run_dir" in sys.argv and "LOCAL_RANK" not in os.environ:  # rank 0 has it while it starts the others
        wait_for_lock(Path(sys.argv[sys.argv.index("--run_dir") + 1]))
    sys.exit(main(sys.argv[1:]))
