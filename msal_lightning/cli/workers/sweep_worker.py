"""``python -m msal_lightning.cli.workers.sweep_worker fit ...``: a fit that ends with the sweep that started it."""

import os
import signal
import sys
import threading
import time
from pathlib import Path

from msal_lightning.cli.main import main
from msal_lightning.io.lock import DirectoryLock

_PATIENCE = 30.0  # seconds until the processes of a killed sweep have ended


def end_with_sweep() -> None:
    """End this process at once when the sweep closes standard input, however the sweep ends.

    A killed fit loses nothing that is recorded. A fit that kept running would hold the lock of its run directory, and
    the restarted sweep could not run the cell.
    """

    def wait() -> None:
        while os.read(0, 1):
            pass
        os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))  # Windows has the second one only

    threading.Thread(target=wait, daemon=True).start()


def wait_for_lock(run_dir: Path, patience: float = _PATIENCE) -> None:
    """Wait until a former process of the same cell releases the lock; after that time ``fit`` refuses to start."""
    lock = DirectoryLock(run_dir / "lock")
    until = time.monotonic() + patience
    while lock.holder() and time.monotonic() < until:
        time.sleep(0.2)


if __name__ == "__main__":
    end_with_sweep()
    if "--run_dir" in sys.argv and "LOCAL_RANK" not in os.environ:  # rank 0 holds the lock while it starts the others
        wait_for_lock(Path(sys.argv[sys.argv.index("--run_dir") + 1]))
    sys.exit(main(sys.argv[1:]))
