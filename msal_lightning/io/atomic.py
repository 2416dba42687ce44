"""Atomic files: a file is complete or absent."""

import contextlib
import errno
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from msal_lightning.io.kill_points import kill_point

_EXCLUSIVE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)  # never follows a link
_NO_LINK = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
_PART = re.compile(r"\.(?P<name>.+?)(\.[0-9a-f]{8})?\.part")  # earlier versions used no digits


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file for writing that replaces ``path`` only when the block ends without an error.

    The content first goes into a temporary file in the same folder, so a link at ``path`` is replaced, never written
    through. A kill leaves the temporary file behind, see :func:`named_by_part`.

    Args:
        path: path of the file; its folder exists.

    Raises:
        OSError: the file cannot be written; a former file stays.
    """
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with os.fdopen(os.open(part, _EXCLUSIVE, 0o666), "wb") as file:
            yield file
            file.flush()
            kill_point(f"write {path.name}")
            os.fsync(file.fileno())
        kill_point("replace")
        kill_point(f"replace {path.name}")
        part.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink()
        raise
    _sync_folder(path.parent)
    kill_point(f"replaced {path.name}")


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file atomically; text is written as UTF-8."""
    data = content.encode() if isinstance(content, str) else content
    with atomic_file(path) as file:
        file.write(data)


def open_unlinked(path: str | Path, flags: int) -> int:
    """Open a file that is written in place; an opener for :func:`open`.

    Raises:
        OSError: ELOOP where the file is a symbolic link, whose target is not touched.
    """
    try:
        if Path(path).is_symlink():  # Windows has no O_NOFOLLOW
            raise OSError(errno.ELOOP, "")
        return os.open(path, flags | _NO_LINK, 0o666)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise OSError(errno.ELOOP, "it is a symbolic link, which is not written through", str(path)) from None


def named_by_part(name: str) -> str | None:
    """Return the final name of a temporary file.

    Args:
        name: file name without its folder.

    Returns:
        The final name; None if ``name`` is not that of a temporary file.
    """
    found = _PART.fullmatch(name)
    return found["name"] if found else None


def _sync_folder(folder: Path) -> None:
    """Make a rename survive a power failure."""
    if os.name == "nt":  # Windows cannot open folders
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some network file systems refuse it for folders, as SQLite found too
            os.fsync(handle)
    finally:
        os.close(handle)
