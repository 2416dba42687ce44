"""Processes that read images: they end with the run, and do not print about its end."""

import multiprocessing
import os
import sys
from types import TracebackType


def start_worker(worker: int) -> None:
    """Prepare a process that reads images.

    Args:
        worker: its number.
    """
    _end_if_orphaned()
    sys.excepthook = print_unless_lost


def _end_if_orphaned() -> None:
    """End this process if the one that forked it has been killed in the meantime.

    A worker of torch 2.14 remembers its parent after this call only: if the parent is gone by then, it never ends.
    """
    parent = multiprocessing.parent_process()
    if parent is not None and multiprocessing.get_start_method() == "fork" and os.getppid() != parent.pid:
        os._exit(1)


def print_unless_lost(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print the traceback of a thread, unless its connection broke because the run is ending.

    A thread of Python's ``multiprocessing`` hands the images over. If a signal ends the run meanwhile, the thread would
    print a traceback after the sentence that says how to go on.
    """
    lost = isinstance(error, OSError | EOFError | multiprocessing.AuthenticationError)
    if not lost and not _hands_over(trace):
        sys.__excepthook__(kind, error, trace)


def _hands_over(trace: TracebackType | None) -> bool:
    """Whether an error comes from that thread: a connection that breaks in its greeting raises errors of many kinds."""
    return trace is not None and trace.tb_frame.f_code.co_filename.endswith("resource_sharer.py")
