"""JSON files that may be damaged or from a stranger."""

import json
from pathlib import Path
from typing import Any

from msal_lightning.io.regular_file import read_regular

_LARGEST = 2**28
"""Largest size in bytes; the record of a round with a million queried images is smaller."""


def read_json(file: Path) -> Any:
    """Read the values of a file.

    Raises:
        OSError: it cannot be read, or is no regular file.
        ValueError: it is no JSON in UTF-8, too large, or too deep.
    """
    content = read_regular(file, _LARGEST)
    try:
        return json.loads(content.decode("utf-8"))
    except RecursionError:
        raise ValueError("more levels than a record has") from None
