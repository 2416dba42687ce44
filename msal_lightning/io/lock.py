"""The lock of a run directory, so that it has only one writer."""

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

_TRIES = 3  # `status` holds the lock for an instant while it tests it
_PAUSE = 0.1  # seconds


@dataclass
class _Hold:
    """A lock of this process.

    Attributes:
        file: the locked file.
        users: number of objects of this process that use the lock.
    """

    file: int
    users: int = 1


_held: dict[str, _Hold] = {}  # locks by folder


class DirectoryLock:
    """A lock for the process that writes into a run directory; the system releases it when that process ends.

    Several objects of one process may hold it. Worker processes do not inherit it. On a shared file system without
    locks the run works without one.

    Args:
        path: path of the lock file, which names the holder.
        option: option that names the folder, for the message.
    """

    def __init__(self, path: Path, option: str = "run_dir") -> None:
        self.path = path
        self.option = option
        self._key: str | None = None  # key of the lock that this object holds

    def acquire(self) -> None:
        """Acquire the lock, or report its holder.

        Raises:
            RunError: another process holds the lock, or the file is a symbolic link, whose target is not touched.
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
        except OSError:  # a file system without locks: run without a lock
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
        if hold:  # the folder was deleted meanwhile
            os.close(hold.file)
        _held[key] = _Hold(file)
        self._key = key

    def holder(self) -> str | None:
        """Return the holder, or None; the lock is not acquired.

        The lock itself is tested, because a killed process leaves its name in the file.
        """
        try:
            file = self._open(os.O_RDWR if os.access(self.path, os.W_OK) else os.O_RDONLY)
        except (OSError, UserError):
            return None
        try:
            said = _read(file)  # empty after a release
            return said if said and not _lock(file) else None
        except OSError:
            return None
        finally:
            os.close(file)

    def close(self) -> None:
        """Release the lock."""
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
    os.lseek(file, 1, os.SEEK_SET)  # on Windows other processes cannot read the first byte, because it is locked
    return os.read(file, 200).decode(errors="replace").strip()


def _write(file: int, text: str) -> None:
    with contextlib.suppress(OSError):  # on a full disk the lock works without a name
        os.ftruncate(file, 0)
        os.lseek(file, 0, os.SEEK_SET)
        os.write(file, f" {text}".encode() if text else b"")


def _leave_all() -> None:
    for hold in _held.values():
        os.close(hold.file)
    _held.clear()


if hasattr(os, "register_at_fork"):  # otherwise a worker would keep the lock of a killed process
    os.register_at_fork(after_in_child=_leave_all)
