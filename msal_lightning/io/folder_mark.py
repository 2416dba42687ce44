"""The mark of an output folder names the command that made it, so that commands never write into other folders.

A mark identifies the format of a folder; it does not make the content trustworthy.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from msal_lightning.errors import RunError
from msal_lightning.io.atomic import named_by_part, write_atomically
from msal_lightning.io.names import name_some

MARK = "msal_lightning.json"
FORMAT = 1
"""Format number of the mark; a change that older versions cannot read increments it."""
Kind = Literal["run", "sweep", "report", "query", "set of features", "set of predictions", "export", "image cache"]


def read_mark(folder: Path) -> dict[str, Any]:
    """Read a folder's mark; empty if there is none, or if another program wrote the file."""
    try:
        mark = json.loads((folder / MARK).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    known = isinstance(mark, dict) and isinstance(mark.get("kind"), str) and isinstance(mark.get("format"), int)
    return mark if known else {}


def write_mark(folder: Path, kind: Kind, **more: Any) -> None:
    """Mark a folder; nothing is written if the mark already has this content.

    Args:
        folder: an existing folder.
        kind: kind of the folder.
        **more: further keys with plain JSON values; other keys of a former mark stay.

    Raises:
        OSError: the mark cannot be written.
    """
    before = read_mark(folder)
    mark = {**before, "kind": kind, "format": before.get("format", FORMAT), **more}
    if mark != before:
        write_atomically(folder / MARK, json.dumps(mark, indent=1) + "\n")


def check_folder(
    folder: Path, kind: Kind, option: str, made_before: Callable[[Path], bool] = lambda folder: False
) -> bool:
    """Reject an output folder with files of another program, another command or a person.

    Args:
        folder: the output folder.
        kind: required kind.
        option: option that names the folder, for the message.
        made_before: recognizes a folder of this kind from a version without marks.

    Returns:
        Whether the folder is new: missing or empty.

    Raises:
        RunError: it is no folder, or not of this kind.
        OSError: the folder cannot be read.
    """
    if folder.exists() and not folder.is_dir():
        raise RunError(f"expected {option} '{folder}' to be a folder, found a file: choose another {option}")
    names = sorted(entry.name for entry in folder.iterdir()) if folder.exists() else []
    if all(named_by_part(name) == MARK for name in names):  # a kill before the mark leaves only such files
        return True
    mark = read_mark(folder)
    if mark.get("kind") == kind and mark["format"] <= FORMAT:
        return False
    if mark:
        which = "" if mark.get("kind") != kind else f" of format {FORMAT}"
        found = f"a {mark['kind']} of format {mark['format']}" if which else f"a {mark['kind']}"
        raise RunError(
            f"expected {option} '{folder}' to be the folder of a {kind}{which}, found that of {found}: choose another "
            f"{option}"
        )
    if not made_before(folder):
        raise RunError(
            f"{option} '{folder}' has files that are not from a {kind} of this program ({name_some(names)}): choose "
            f"another {option}"
        )
    return False


def claim_folder(
    folder: Path, kind: Kind, option: str, made_before: Callable[[Path], bool] = lambda folder: False
) -> None:
    """Create an output folder with its mark, or check an existing one.

    Args:
        folder: the output folder, see :func:`check_folder`.
        kind: required kind.
        option: option that names the folder.
        made_before: recognizes a folder from a version without marks.

    Raises:
        RunError: it is no folder, or not of this kind.
        OSError: it cannot be read or written.
    """
    check_folder(folder, kind, option, made_before)
    folder.mkdir(parents=True, exist_ok=True)
    write_mark(folder, kind)
