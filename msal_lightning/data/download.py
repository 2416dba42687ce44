"""Fetching a dataset, or saying in one sentence why it cannot be had."""

import contextlib
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from msal_lightning.errors import UserError

if TYPE_CHECKING:
    from msal_lightning.data.base import ActiveDataModule

_TIMEOUT = 20  # seconds without a byte: a network that swallows packets must not hang the run


def fetch(data: "ActiveDataModule", download: Callable[[], object], expected: str) -> None:
    """Download a dataset into its root.

    Args:
        data: the dataset, for its name and root.
        download: does it, torchvision's class for example.
        expected: which files were looked for and where, for the error message.

    Raises:
        UserError: the root cannot be written, or the download failed.
    """
    root = Path(data.root)
    try:
        root.mkdir(parents=True, exist_ok=True)
        if not os.access(root, os.W_OK):
            raise PermissionError("no permission to write")
    except OSError as error:
        raise UserError(
            f"expected the files of {data.name} in data.root '{root}' or a folder to download them to, but it cannot "
            f"be used ({error.strerror or error}): set data.root to a folder of yours"
        ) from None
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_TIMEOUT)
    try:
        with Path(os.devnull).open("w") as silent, contextlib.redirect_stdout(silent):
            download()
    except Exception as error:  # torchvision raises whatever its mirrors give it
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(
            f"expected {expected} in data.root '{root.resolve()}', found none, and the download failed "
            f"({reason:.160}): "
            "put the files there, or set data.root to the folder that has them"
        ) from None
    finally:
        socket.setdefaulttimeout(before)
