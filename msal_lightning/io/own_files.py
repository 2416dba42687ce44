"""Remove files by name: only files that match a pattern, and never through a link.

A pattern is a regular expression for a whole path below the folder, with ``/`` between its parts. Each module that
writes files into a run directory declares their patterns, with folders as plain text.
"""

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from msal_lightning.errors import RunError
from msal_lightning.io.atomic import named_by_part


def remove_own(folder: Path, patterns: Sequence[str]) -> None:
    """Remove the files that match patterns, and folders that become empty.

    Args:
        folder: the folder to clean.
        patterns: see the module; temporary versions of these files are removed too.

    Raises:
        OSError: a file cannot be removed.
    """
    emptied = set[Path]()
    for file in _files(folder, _folders(patterns)):
        if _matches(file, patterns):
            (folder / file).unlink(missing_ok=True)
            emptied |= {folder / parent for parent in file.parents if parent.name}
    for path in sorted(emptied, key=lambda path: len(path.parts), reverse=True):
        if not any(path.iterdir()):
            path.rmdir()


def remove_parts(folder: Path, patterns: Sequence[str]) -> None:
    """Remove temporary files that a kill left behind.

    Args:
        folder: a folder without other writers.
        patterns: patterns of the files, see the module.
    """
    for file in _files(folder, _folders(patterns)):
        if named_by_part(file.name) and _matches(file, patterns) and not (folder / file).is_symlink():
            (folder / file).unlink(missing_ok=True)


def others(folder: Path, patterns: Sequence[str]) -> list[str]:
    """List, in order, entries that match no pattern: files in the patterns' folders, and entries of the folder."""
    inside = _folders(patterns)
    found = [str(file) for file in _files(folder, inside) if not _matches(file, patterns)]
    return sorted([*found, *(f"{p.name}/" for p in folder.iterdir() if _is_folder(p) and p.name not in inside)])


def refuse_linked_folders(folder: Path, patterns: Sequence[str]) -> None:
    """Reject a folder with linked sub-folders, because writing into these would change files elsewhere.

    Args:
        folder: the folder, which may itself be a link.
        patterns: patterns of the files in it, see the module.

    Raises:
        RunError: a sub-folder is a link.
    """
    for name in sorted(_folders(patterns)):
        if (folder / name).is_symlink():
            raise RunError(
                f"expected '{folder / name}' to be a folder, found a symbolic link: put a folder there, or to have it "
                f"on another disk make '{folder}' itself the link"
            )


def _matches(file: PurePosixPath, patterns: Sequence[str]) -> bool:
    whole = str(file.with_name(named_by_part(file.name) or file.name))
    return any(re.fullmatch(pattern, whole) for pattern in patterns)


def _folders(patterns: Sequence[str]) -> set[str]:
    return {pattern.partition("/")[0] for pattern in patterns if "/" in pattern}


def _files(folder: Path, inside: set[str]) -> Iterator[PurePosixPath]:
    """Yield relative paths of files and links in the folder itself and below some of its sub-folders."""
    for path, folders, files in os.walk(folder):
        here = Path(path)
        links = [name for name in folders if (here / name).is_symlink()]  # os.walk does not follow them
        below = PurePosixPath(here.relative_to(folder).as_posix())
        yield from (below / name for name in [*files, *links])
        if here == folder:
            folders[:] = [name for name in folders if name in inside]


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()
