"""Runs a real command line and kills it at a chosen instant.

``python kill_at.py SPEC fit --config …`` runs one command; SPEC is JSON, see :func:`arm`.
"""

import io
import json
import os
import resource
import signal
import sys
import threading
import time
from collections import Counter
from pathlib import Path

PHASES = (
    "start", "mid-epoch", "epoch end", "fit end", "test", "pool pass", "selection", "model save", "record write",
    "after commit",
)  # fmt: skip
_WITHIN = {  # the first one that some frame of the stack is in
    "TableFiles.add": "after commit",
    "RunDirectory.drop_checkpoints": "after commit",
    "Tracking.log_round": "after commit",
    "Tracking.finish": "finish",
    "RunDirectory.commit": "record write",
    "RunDirectory.save_model": "model save",
    "FitCheckpoint.on_train_epoch_end": "epoch end",
    "FitCheckpoint.save_between_epochs": "epoch end",
    "FitCheckpoint.save_ended": "fit end",
    "Query._end": "selection",
    "Trainer._predict_impl": "pool pass",
    "Trainer._test_impl": "test",
    "_FitLoop.run": "mid-epoch",
}


def phase_of(frame):
    """What the loop is doing, read off the stack."""
    stack = set()
    while frame is not None:
        stack.add(frame.f_code.co_qualname)
        frame = frame.f_back
    opening = "ActiveLoop._open" in stack
    return next((phase for name, phase in _WITHIN.items() if name in stack and not opening), "start")


def arm(spec, seen):
    """Prepare the end of this process.

    Args:
        spec: ``phase`` and ``event``: at that line of the package within the phase; or ``point``: a kill point of
            :mod:`msal_lightning.io.kill_points`; or ``half_written``: half of a torch file of that name is on disk; or
            ``seconds``: that long after the loop has begun; or ``count``: a file for the number of
            lines of each phase. ``note``: where to write the phase before the kill; ``rank``: of the process that
            dies; ``now``: lines count from the command's first one on, not from that of the loop; ``all``: its whole
            process group dies; ``worker``: a loader worker dies instead. ``fsize``: no file can grow beyond so many
            bytes; ``env``: of the process.
        seen: counts the lines of each phase.
    """
    os.environ.update(spec.pop("env", {}))
    if "fsize" in spec:
        resource.setrlimit(resource.RLIMIT_FSIZE, (spec["fsize"], spec["fsize"]))
        return
    if spec.get("rank", 0) != int(os.environ.get("LOCAL_RANK", 0)):
        return
    if "point" in spec:
        os.environ["MSAL_LIGHTNING_KILL_AT"] = spec["point"]
        return
    main, pid = threading.main_thread().ident, os.getpid()

    def kill(phase):
        with open(spec["note"], "a") as file:  # noqa: PTH123
            file.write(phase + "\n")
        if spec.get("all"):
            os.killpg(0, signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)

    def line(frame, event, _):
        if event == "line" and (os.getpid() != pid) == spec.get("worker", False):  # workers inherit this
            phase = phase_of(frame)
            seen[phase] += 1
            if phase == spec.get("phase") and seen[phase] >= spec["event"]:
                kill(phase)
        return line

    def call(frame, event, _):
        return line if "/msal_lightning/" in frame.f_code.co_filename else None

    def later():
        time.sleep(spec["seconds"])
        kill(phase_of(sys._current_frames()[main]))

    if "half_written" in spec:
        _write_half(spec["half_written"])
        return

    if spec.get("now"):  # a command without a loop: from its first line on
        sys.settrace(call)
        return

    from msal_lightning.loop.loop import ActiveLoop

    run = ActiveLoop.run

    def armed(loop):
        if "seconds" in spec:
            threading.Thread(target=later, daemon=True).start()
        elif spec:
            sys.settrace(call)
        try:
            return run(loop)
        finally:
            sys.settrace(None)
            if "count" in spec:
                Path(spec["count"]).write_text(json.dumps(seen))

    ActiveLoop.run = armed


def _write_half(name):
    """Die in the middle of writing a torch file."""
    import torch

    save = torch.save

    def dying(content, file, *args, **kwargs):
        if name not in str(getattr(file, "name", file)) and not _goes_into(file, name):
            return save(content, file, *args, **kwargs)
        whole = io.BytesIO()
        save(content, whole)
        file.write(whole.getvalue()[: len(whole.getvalue()) // 2])
        file.flush()
        os.kill(os.getpid(), signal.SIGKILL)
        return None

    torch.save = dying


def _goes_into(file, name):
    """Whether an open file, known by its number only, is the temporary file of that name."""
    return name in str(Path(f"/proc/self/fd/{file.fileno()}").readlink())


def command(spec, arguments):
    """One command in this process; returns its exit code."""
    from msal_lightning.cli.main import main

    seen = Counter()
    arm(spec, seen)
    try:
        return main(arguments)
    finally:
        sys.settrace(None)
        if spec.get("now") and "count" in spec:
            Path(spec["count"]).write_text(json.dumps(seen))


if __name__ == "__main__":
    sys.path.insert(0, "")  # as `python -m` does
    sys.exit(command(json.loads(sys.argv[1]), sys.argv[2:]))
