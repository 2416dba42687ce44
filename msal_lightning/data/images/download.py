"""Download a dataset, or report in one sentence why this is impossible."""

import contextlib
import hashlib
import os
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

from rich.progress import DownloadColumn, Progress

from msal_lightning.data.batches.read_only import is_read_only
from msal_lightning.errors import DataError
from msal_lightning.io.atomic import open_unlinked
from msal_lightning.io.console import shared_console
from msal_lightning.io.terminal import say

if TYPE_CHECKING:
    from msal_lightning.data.base import ActiveDataModule

_TIMEOUT = 20  # seconds without a byte: a network that swallows packets must not hang the run


def download_file(data: "ActiveDataModule", url: str, md5: str, file: Path) -> None:
    """Download a file into a dataset's root, with a progress bar; an interrupted download resumes.

    Args:
        data: the dataset, for its name and root.
        url: where from.
        md5: of the whole file.
        file: where to.

    Raises:
        DataError: the root cannot be written, the download failed, or the checksum is wrong.
    """
    part = file.with_name(f"{file.name}.part")

    def download() -> None:
        _download(url, part)
        if _md5(part) != md5:
            part.unlink()
            raise OSError(f"the file from {url} has another checksum than {md5}")
        part.replace(file)

    fetch(data, download, f"{file.name} (from {url})", silent=False)


def _download(url: str, part: Path) -> None:
    if part.is_symlink():
        raise OSError(f"'{part}' is a symbolic link, which is not written through: remove the link")
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response = urllib.request.urlopen(request, timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code != HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise
        return  # nothing is missing; the checksum decides
    console, is_rest = shared_console(), response.status == HTTPStatus.PARTIAL_CONTENT
    with (
        response,
        open(part, "ab" if is_rest else "wb", opener=open_unlinked) as out,
        Progress(
            *Progress.get_default_columns(),
            DownloadColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        ) as progress,
    ):
        start = out.tell()
        length = response.headers.get("Content-Length")
        task = progress.add_task(part.stem, completed=start, total=start + int(length) if length else None)
        if not console.is_terminal:
            say(f"downloading {url}" + (f", {int(length) / 1e6:.0f} MB to go" if length else ""), flush=True)
        while block := response.read(2**20):
            out.write(block)
            progress.advance(task, len(block))
        if length and out.tell() - start < int(length):
            raise OSError("the connection ended early: the same command resumes the download")


def _md5(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def fetch(
    data: "ActiveDataModule", download: Callable[[], object], expected: str, silent: bool = True, found: str = "none"
) -> None:
    """Download a dataset into its root.

    Args:
        data: the dataset, for its name and root.
        download: does it, torchvision's class for example.
        expected: which files were looked for and where, for the error message.
        silent: keep what it prints to itself.
        found: what is there instead, for the error message.

    Raises:
        DataError: the root cannot be written, or the download failed.
    """
    root = Path(data.root)
    if is_read_only():
        raise DataError(
            f"expected {expected} in data.root '{root}' for {data.name}, found {found}, and a run that your `fit` did "
            "not make downloads nothing: name the folder yourself, with --data.root or --root"
        )
    is_new = not root.exists()
    try:
        root.mkdir(parents=True, exist_ok=True)
        if not os.access(root, os.W_OK):
            raise PermissionError("no permission to write")
    except OSError as error:
        raise DataError(
            f"expected the files of {data.name} in data.root '{root}' or a folder to download them to, but it cannot "
            f"be used ({error.strerror or error}): set data.root to a folder that you can write"
        ) from None
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_TIMEOUT)
    try:
        with Path(os.devnull).open("w") as nothing, contextlib.redirect_stdout(nothing if silent else sys.stdout):
            download()
    except Exception as error:  # torchvision raises many kinds of errors
        reason = " ".join(str(error).split()) or type(error).__name__
        if is_new:
            with contextlib.suppress(OSError):  # the next start resumes from a partial download in it
                root.rmdir()
        raise DataError(
            f"expected {expected} in data.root '{root.resolve()}' for {data.name}, found {found}, and the download "
            f"failed ({reason:.160}): put the files there, or set data.root to the folder that has them"
        ) from None
    finally:
        socket.setdefaulttimeout(before)
