"""One run directory has one writer."""

import contextlib
import errno
import os
import socket
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from filelock import lock_descriptor

from msal_lightning.errors import RunError, UserError
from msal_lightning.io.atomic import open_unlinked

_TRIES = 3  # `status` holds the lock for an instant while it looks who has it
_PAUSE = 0.1  # seconds


@dataclass
class _Hold:
    """A lock of this process.

    Attributes:
        file: that is locked.
        users: objects of this process that rely on it.
    """

    file: int
    users: int = 1


_held: dict[str, _Hold] = {}  # by folder


class DirectoryLock:
    """Held by the process that writes into a run directory; the system frees it when that process ends.

    Several objects of one process may hold it. Worker processes do not inherit it. Where a shared file system has no
    locks the run goes on without one.

    Args:
        path: of the lock file; it says who holds the lock.
        option: that names the folder.
    """

    def __init__(self, path: Path, option: str = "run_dir") -> None:
        self.path = path
        self.option = option
        self._key: str | None = None  # of what this object holds

    def acquire(self) -> None:
        """Take it, or say who has it.

        Raises:
            RunError: another process has it, or it is a symbolic link, whose target is not touched.
            OSError: the file cannot be written.
        """
        if self._key is not None:
            return
        key = os.path.realpath(self.path.parent)
        file = self._open(os.O_RDWR | os.O_CREAT)
        if (hold := _held.get(key)) and os.path.samestat(os.fstat(hold.file), os.fstat(file)):
            os.close(file)
            hold.users += 1
            self._key = key
            return
        try:
            is_ours = _lock(file, _TRIES)
        except OSError:  # a file system without locks: better no lock than no run
            os.close(file)
            return
        if not is_ours:
            holder = _read(file) or "another process"
            os.close(file)
            raise RunError(
                f"{self.option} '{self.path.parent}' is in use by {holder}: wait for it, stop it, or choose another "
                f"{self.option}"
            )
        _write(file, f"process {os.getpid()} on {socket.gethostname()} since {datetime.now():%Y-%m-%d %H:%M}")
        if hold:  # of a folder that was deleted meanwhile
            os.close(hold.file)
        _held[key] = _Hold(file)
        self._key = key

    def holder(self) -> str | None:
        """Who has it, None if nobody; does not take it.

        What a killed process left in the file counts for nothing: the lock itself is asked for.
        """
        try:
            file = self._open(os.O_RDWR if os.access(self.path, os.W_OK) else os.O_RDONLY)
        except (OSError, UserError):
            return None
        try:
            said = _read(file)  # nothing after a release
            return said if said and not _lock(file) else None
        except OSError:
            return None
        finally:
            os.close(file)

    def close(self) -> None:
        """Give it back."""
        if self._key is not None and (hold := _held.get(self._key)):
            hold.users -= 1
            if not hold.users:
                _write(hold.file, "")
                os.close(_held.pop(self._key).file)
        self._key = None

    def _open(self, how: int) -> int:
        try:
            return open_unlinked(self.path, how)
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
            raise RunError(
                f"expected '{self.path}' to be a file of this program, found a symbolic link: remove the link"
            ) from None


def _lock(file: int, tries: int = 1) -> bool:
    for left in reversed(range(tries)):
        if lock_descriptor(file, blocking=False):
            return True
        if left:
            time.sleep(_PAUSE)
    return False


def _read(file: int) -> str:
    os.lseek(file, 1, os.SEEK_SET)  # on Windows nobody else can read the first byte, which is the one that is locked
    return os.read(file, 200).decode(errors="replace").strip()


def _write(file: int, text: str) -> None:
    with contextlib.suppress(OSError):  # a full disk: the lock holds without a name
        os.ftruncate(file, 0)
        os.lseek(file, 0, os.SEEK_SET)
        os.write(file, f" {text}".encode() if text else b"")


def _leave_all() -> None:
    for hold in _held.values():
        os.close(hold.file)
    _held.clear()


if hasattr(os, "register_at_fork"):  # else a worker would keep the lock of a process that was killed
    os.register_at_fork(after_in_child=_leave_all)
