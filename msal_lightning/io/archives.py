"""Packed files, checked for their size before they are unpacked."""

import gzip
import zipfile
from math import prod
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

_DEFLATE = 1032
"""zlib's limit: largest number of bytes that one packed byte can stand for."""
_MOST_DIMENSIONS = 4


def check_zip(file: Path, times: float = 1.1, most: int = 100_000) -> None:
    """Reject an archive that would unpack to a much larger size; torch and numpy save without compression.

    Args:
        file: the archive.
        times: largest ratio of unpacked bytes to the size of the file.
        most: largest number of parts.

    Raises:
        ValueError: it would unpack to too many bytes or parts, or parts overlap.
        OSError: the file cannot be read.
        zipfile.BadZipFile: the file is no archive.
    """
    with zipfile.ZipFile(file) as archive:
        parts = archive.infolist()
    unpacked, size = sum(part.file_size for part in parts), file.stat().st_size
    if unpacked > times * size + 2**16:
        raise ValueError(f"{size:,} bytes would unpack to {unpacked:,}")
    if len(parts) > most:
        raise ValueError(f"{len(parts):,} parts")


def read_idx(file: Path) -> NDArray[np.uint8]:
    """Read the array of an IDX file of bytes: magic 00 00 08 ndim, each dimension as big-endian int32, then the data.

    Reading stops at the size in the header; a header with more bytes than the file can hold is rejected at once.

    Args:
        file: path of the file, packed if the name ends in .gz.

    Raises:
        OSError: the file cannot be read.
        EOFError: the packed data ends early.
        ValueError: the file is no IDX file, or its size differs from its header.
        zlib.error: the packed data is damaged.
    """
    size = file.stat().st_size
    with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as stream:
        head = stream.read(4)
        if len(head) < 4 or head[:3] != b"\x00\x00\x08" or not 1 <= head[3] <= _MOST_DIMENSIONS:
            raise ValueError("no IDX file of bytes")
        shape = np.frombuffer(_exactly(stream, 4 * head[3]), dtype=">u4").astype(int).tolist()
        if prod(shape) > size * (_DEFLATE if file.suffix == ".gz" else 1):
            raise ValueError(f"its header announces {prod(shape):,} bytes, and the file has {size:,}")
        array = np.frombuffer(_exactly(stream, prod(shape)), dtype=np.uint8).reshape(shape)
        if stream.read(1):
            raise ValueError(f"it is longer than the {prod(shape):,} bytes that its header announces")
    return array


def _exactly(stream: "BinaryIO | gzip.GzipFile", count: int) -> bytes:
    content = stream.read(count)
    if len(content) < count:
        raise ValueError(f"it ends {count - len(content):,} bytes early")
    return content
