"""Packed files that say how large they are before they are unpacked."""

import gzip
import zipfile
from math import prod
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

_DEFLATE = 1032
"""zlib's limit: one packed byte stands for at most so many."""
_MOST_DIMENSIONS = 4


def check_zip(file: Path, times: float = 1.1, most: int = 100_000) -> None:
    """Refuse an archive that unpacks to much more than it is; what torch and numpy save is not packed at all.

    Args:
        file: the archive.
        times: the bytes of all its parts over those of the file, at most.
        most: parts.

    Raises:
        ValueError: it does, or parts lie over each other.
        OSError: it cannot be read.
        zipfile.BadZipFile: it is none.
    """
    with zipfile.ZipFile(file) as archive:
        parts = archive.infolist()
    unpacked, size = sum(part.file_size for part in parts), file.stat().st_size
    if unpacked > times * size + 2**16:
        raise ValueError(f"{size:,} bytes would unpack to {unpacked:,}")
    if len(parts) > most:
        raise ValueError(f"{len(parts):,} parts")


def read_idx(file: Path) -> NDArray[np.uint8]:
    """The array of an IDX file of bytes: magic 00 00 08 ndim, each dimension as big-endian int32, then the data.

    No more is read than the header says, and a header that says more than the file can hold is refused at once.

    Args:
        file: packed if its name ends in .gz.

    Raises:
        OSError: it cannot be read.
        EOFError: its packed part ends early.
        ValueError: it is no such file, or shorter or longer than its header says.
        zlib.error: it is damaged.
    """
    size = file.stat().st_size
    with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as stream:
        head = stream.read(4)
        if len(head) < 4 or head[:3] != b"\x00\x00\x08" or not 1 <= head[3] <= _MOST_DIMENSIONS:
            raise ValueError("no IDX file of bytes")
        shape = np.frombuffer(_exactly(stream, 4 * head[3]), dtype=">u4").astype(int).tolist()
        if prod(shape) > size * (_DEFLATE if file.suffix == ".gz" else 1):
            raise ValueError(f"its header says {prod(shape):,} bytes, and the file has {size:,}")
        array = np.frombuffer(_exactly(stream, prod(shape)), dtype=np.uint8).reshape(shape)
        if stream.read(1):
            raise ValueError(f"it goes on behind the {prod(shape):,} bytes that its header says")
    return array


def _exactly(stream: "BinaryIO | gzip.GzipFile", count: int) -> bytes:
    content = stream.read(count)
    if len(content) < count:
        raise ValueError(f"it ends {count - len(content):,} bytes early")
    return content
