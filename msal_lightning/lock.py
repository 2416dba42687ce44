"""One run directory has one writer."""

import fcntl
import os
import socket
from datetime import datetime
from pathlib import Path

from msal_lightning.errors import UserError


class DirectoryLock:
    """Held by the process that writes into a run directory; the system frees it when that process ends.

    A POSIX record lock: worker processes don't inherit it, and it holds between machines that share the folder.

    Args:
        path: of the lock file; it says who holds the lock.
        option: that names the folder.
    """

    def __init__(self, path: Path, option: str = "run_dir") -> None:
        self.path = path
        self.option = option
        self._file: int | None = None

    def acquire(self) -> None:
        """Take it, or say who has it.

        Raises:
            UserError: another process has it.
            OSError: the file cannot be written.
        """
        if self._file is not None:
            return
        file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            holder = os.read(file, 200).decode(errors="replace").strip() or "another process"
            os.close(file)
            raise UserError(
                f"{self.option} '{self.path.parent}' is in use by {holder}: wait for it, stop it, or choose another "
                f"{self.option}"
            ) from None
        except OSError:  # a file system without locks: better no lock than no run
            os.close(file)
            return
        os.ftruncate(file, 0)
        os.write(
            file, f"process {os.getpid()} on {socket.gethostname()} since {datetime.now():%Y-%m-%d %H:%M}".encode()
        )
        self._file = file

    def holder(self) -> str | None:
        """Who has it, None if nobody; does not take it.

        What a killed process left in the file counts for nothing: the lock itself is asked for.
        """
        try:
            said = self.path.read_text(errors="replace").strip()
            if not said:  # as it is after a release
                return None
            file = os.open(self.path, os.O_RDONLY)
        except OSError:
            return None
        try:
            fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB)  # given back at once, by closing
        except (BlockingIOError, PermissionError):
            return said
        except OSError:
            return None
        finally:
            os.close(file)
        return None

    def close(self) -> None:
        """Give it back."""
        if self._file is not None:
            os.ftruncate(self._file, 0)
            os.close(self._file)
            self._file = None
