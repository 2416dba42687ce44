"""Named instants at which a fault test can end the process; see ``tests/faults``."""

import os
import signal
from collections import Counter

ARMED = "MSAL_LIGHTNING_KILL_AT"
"""Environment variable with the name of a kill point, or ``NAME#3`` for its third time."""

_reached = Counter[str]()


def kill_point(name: str) -> None:
    """Kill this process if a fault test has armed this kill point; otherwise do nothing.

    Args:
        name: name of the kill point.
    """
    armed = os.environ.get(ARMED)
    if armed is None:
        return
    wanted, _, hit = armed.partition("#")
    _reached[name] += 1
    if name == wanted and _reached[name] == int(hit or 1):
        os.kill(os.getpid(), signal.SIGKILL)
