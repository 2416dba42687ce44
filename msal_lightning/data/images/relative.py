"""The path of an image file as records have it."""

import os
from pathlib import Path


def relative(path: str, root: str) -> str:
    """Return the path below a folder, as text that any file can hold.

    Args:
        path: the file.
        root: the folder.
    """
    below = f"{Path(root)}{os.sep}"
    if path.startswith(below) and ".." not in path and path.isascii():  # the usual case, quick for a million files
        return path[len(below) :]
    return os.path.relpath(path, root).encode(errors="backslashreplace").decode()  # a file name may be no valid text
