"""Runs command lines, each in a fork of one process that has imported everything, and kills it at one line of code.

A job a line on the standard input, JSON: ``arguments``, ``folder``, and perhaps ``function``, ``text``, ``hit``,
``under``: the process dies before it runs, for the ``hit``-th time, a line with that text in that function while
``under`` is on the stack. The answer is the exit code.
"""

import json
import linecache
import os
import signal
import sys


def arm(function, text, hit=1, under=None):
    """Kill this process at a line."""
    pid, seen = os.getpid(), 0

    def line(frame, event, _):
        nonlocal seen
        if event == "line" and text in linecache.getline(frame.f_code.co_filename, frame.f_lineno):
            seen += 1
            if seen == hit and os.getpid() == pid:  # loader workers inherit the trace
                os.kill(pid, signal.SIGKILL)
        return line

    def call(frame, event, _):
        if frame.f_code.co_qualname != function:
            return None
        while under and frame is not None and frame.f_code.co_qualname != under:
            frame = frame.f_back
        return line if frame is not None else None

    sys.settrace(call)


def run(arguments, folder, **target):
    """One command; never returns."""
    os.setsid()
    os.chdir(folder)
    log = os.open("log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(log, stream)
    from msal_lightning.cli import main

    if target:
        arm(**target)
    sys.exit(main(arguments))


if __name__ == "__main__":
    import msal_lightning.fit  # noqa: F401 - what takes seconds

    for job in iter(sys.stdin.readline, ""):  # not `for … in sys.stdin`, which reads ahead
        if not (child := os.fork()):
            run(**json.loads(job))
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
