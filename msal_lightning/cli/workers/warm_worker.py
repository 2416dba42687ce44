"""``python -m msal_lightning.cli.workers.warm_worker FD``: fits, one after another; arguments come as lines of JSON."""

import json
import os
import queue
import signal
import sys
import threading
from pathlib import Path

from msal_lightning.cli.main import main
from msal_lightning.cli.workers.sweep_worker import wait_for_lock
from msal_lightning.io.atomic import open_unlinked


def read_tasks(tasks: "queue.SimpleQueue[str]") -> None:
    """Pass on the lines of standard input; when it ends, end this process at once, as the sweep has ended."""
    for line in sys.stdin:
        tasks.put(line)
    os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))  # Windows has the second one only


def run(line: str) -> int:
    """Run a fit, with its output in the log of the cell."""
    task = json.loads(line)
    arguments = task["arguments"]
    with open(task["log"], "ab", opener=open_unlinked) as log:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
            os.dup2(log.fileno(), stream.fileno())
    wait_for_lock(Path(arguments[arguments.index("--run_dir") + 1]))
    try:
        code = main(["fit", *arguments])
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    return code


def serve(results: int) -> None:
    """Run the fits that come, and write the exit code of each to a file descriptor."""
    tasks: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=read_tasks, args=(tasks,), daemon=True).start()
    while True:
        try:
            line = tasks.get()
        except KeyboardInterrupt:  # meant for a fit that has just ended
            continue
        os.write(results, f"{run(line)}\n".encode())


if __name__ == "__main__":
    serve(int(sys.argv[1]))
