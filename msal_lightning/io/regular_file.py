"""Reading files that may be a stranger's: regular files only, none beyond a size."""

import errno
from pathlib import Path

LARGEST_TABLE = 2**31
"""Bytes of a CSV file of ours; a line of ten million images has about 100."""


class TooLargeError(ValueError):
    """The file has more bytes than anything that belongs there."""


def read_regular(file: Path, largest: int) -> bytes:
    """Read the bytes of a regular file that is not too large.

    Args:
        file: its path.
        largest: bytes that it may have.

    Raises:
        OSError: it cannot be read, or is a device or a pipe, which may never end.
        TooLargeError: it has more bytes.
    """
    if file.exists() and not (file.is_file() or file.is_dir()):  # a folder's own error says what it is
        raise OSError(errno.EINVAL, "it is no regular file", str(file))
    with file.open("rb") as stream:
        content = stream.read(largest + 1)
    if len(content) > largest:
        raise TooLargeError(f"more than {largest:,} bytes")
    return content
