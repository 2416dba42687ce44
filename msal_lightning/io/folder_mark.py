"""The mark of an output folder: it says which command made the folder, so that no other folder is ever written into.

A mark says whose format a folder has, not that its content can be trusted.
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
"""Of the mark; a change that an older version cannot read raises it."""
Kind = Literal["run", "sweep", "report", "query", "image cache"]


def read_mark(folder: Path) -> dict[str, Any]:
    """The content of a folder's mark; empty where there is none, or another program's file of that name."""
    try:
        mark = json.loads((folder / MARK).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    known = isinstance(mark, dict) and isinstance(mark.get("kind"), str) and isinstance(mark.get("format"), int)
    return mark if known else {}


def write_mark(folder: Path, kind: Kind, **more: Any) -> None:
    """Mark a folder; nothing is written where the mark says all of it already.

    Args:
        folder: exists.
        kind: of the folder.
        **more: further keys, plain JSON values; the other keys of a former mark stay.

    Raises:
        OSError: it cannot be written.
    """
    before = read_mark(folder)
    mark = {**before, "kind": kind, "format": before.get("format", FORMAT), **more}
    if mark != before:
        write_atomically(folder / MARK, json.dumps(mark, indent=1) + "\n")


def check_folder(
    folder: Path, kind: Kind, option: str, made_before: Callable[[Path], bool] = lambda folder: False
) -> bool:
    """Refuse an output folder that another program, another command or a person has put files into.

    Args:
        folder: that a command is told to write into.
        kind: that it has to be.
        option: that names it, for the message.
        made_before: recognises a folder of this kind from before there were marks.

    Returns:
        Whether it is new: missing or empty.

    Raises:
        RunError: it is no folder, or not of this kind.
        OSError: it cannot be read.
    """
    if folder.exists() and not folder.is_dir():
        raise RunError(f"expected {option} '{folder}' to be a folder, found a file: choose another {option}")
    names = sorted(entry.name for entry in folder.iterdir()) if folder.exists() else []
    if all(named_by_part(name) == MARK for name in names):  # what a kill before the mark leaves
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
    """Make an output folder with its mark, or find out that it is one already.

    Args:
        folder: see :func:`check_folder`, as the other arguments.
        kind: that it has to be.
        option: that names it.
        made_before: recognises a folder from before there were marks.

    Raises:
        RunError: it is no folder, or not of this kind.
        OSError: it cannot be read or written.
    """
    check_folder(folder, kind, option, made_before)
    folder.mkdir(parents=True, exist_ok=True)
    write_mark(folder, kind)
