"""Removing files by name: only what a pattern names, and never through a link.

A pattern is a regular expression for a whole path below the folder, with ``/`` between its parts. Each module that
writes files into a run directory declares theirs, its folder as plain text.
"""

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from msal_lightning.errors import RunError
from msal_lightning.io.atomic import named_by_part


def remove_own(folder: Path, patterns: Sequence[str]) -> None:
    """Remove the files that patterns name, and the folders that are empty without them.

    Args:
        folder: in which.
        patterns: see the module; temporary files of these files go too.

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
    """Remove what a kill left of files that were being written.

    Args:
        folder: that nobody else writes into.
        patterns: of the files, see the module.
    """
    for file in _files(folder, _folders(patterns)):
        if named_by_part(file.name) and _matches(file, patterns) and not (folder / file).is_symlink():
            (folder / file).unlink(missing_ok=True)


def others(folder: Path, patterns: Sequence[str]) -> list[str]:
    """What no pattern names, in order: files in the folders of patterns, and other entries of the folder itself."""
    inside = _folders(patterns)
    found = [str(file) for file in _files(folder, inside) if not _matches(file, patterns)]
    return sorted([*found, *(f"{p.name}/" for p in folder.iterdir() if _is_folder(p) and p.name not in inside)])


def refuse_linked_folders(folder: Path, patterns: Sequence[str]) -> None:
    """Refuse a folder whose parts lie elsewhere: writing into them would change files outside.

    Args:
        folder: may be a link itself.
        patterns: of the files in it, see the module.

    Raises:
        RunError: which one is a link.
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
    """Files and links, relative: of the folder itself, and below some of its folders."""
    for path, folders, files in os.walk(folder):
        here = Path(path)
        links = [name for name in folders if (here / name).is_symlink()]  # os.walk does not follow them
        below = PurePosixPath(here.relative_to(folder).as_posix())
        yield from (below / name for name in [*files, *links])
        if here == folder:
            folders[:] = [name for name in folders if name in inside]


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()
