"""List the images below a folder. A file that several names or links lead to is listed once."""

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from msal_lightning.data.images.formats import FORMER_SUFFIXES, HEIF_SUFFIXES, can_read_heif, looks_like, suffixes
from msal_lightning.errors import DataError
from msal_lightning.io.terminal import say

_BROKEN = "with a broken link"
Identity = tuple[int, int] | str
"""Device and inode of a file or folder; its resolved path where the file system numbers none."""


@dataclass
class Listing:
    """The files that a walk over some folders has found.

    Attributes:
        images: paths of each group, sorted.
        left_out: number of files of other kinds, by extension.
        repeated: names that lead to an image or a folder that is already listed.
    """

    images: dict[str, list[Path]] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)
    repeated: list[str] = field(default_factory=list)


def identity(path: str | os.PathLike[str]) -> Identity:
    """Return a value that two paths share if they are the same file or folder.

    Raises:
        OSError: nothing exists at the path.
    """
    found = os.stat(path)  # noqa: PTH116 - millions of them
    return (found.st_dev, found.st_ino) if found.st_ino else os.path.realpath(path)


def list_images(
    groups: dict[str, Path], root: Path, former: bool = False, ignore: Iterable[str | os.PathLike[str]] = ()
) -> Listing:
    """Find the images below some folders; links to folders and files are followed.

    A file that several names lead to is listed once, under the first of its names that needs no link. Names that begin
    with a dot are left out.

    Args:
        groups: folder of each group; the groups are classes, or there is a single one.
        root: folder of all groups; a link that leads back to it is not followed.
        former: list only the kinds of files that earlier versions read, for a run of such a version.
        ignore: files that are not counted as left out either.

    Raises:
        DataError: the same file or folder belongs to two groups.
    """
    walk = _Walk(root, FORMER_SUFFIXES if former else suffixes(), former, {identity(path) for path in ignore})
    for name, folder in sorted(groups.items(), key=lambda group: (group[1].is_symlink(), group[1])):
        walk.add(name, str(folder))
    return walk.result()


class _Walk:
    """Lists real folders and files first, then follows links, level by level."""

    def __init__(self, root: Path, suffixes: frozenset[str], former: bool, uncounted: set[Identity]) -> None:
        self._root = root
        self._suffixes = suffixes
        self._former = former
        self._uncounted = uncounted
        above = [root, *root.absolute().parents, *root.resolve().parents]  # a link to one of these would never end
        self._folders: dict[Identity, tuple[str | None, str]] = {identity(path): (None, str(path)) for path in above}
        self._files: dict[Identity, tuple[str, str]] = {}
        self._links: list[tuple[str, str]] = []
        self._listing = Listing()

    def add(self, group: str, folder: str) -> None:
        self._listing.images.setdefault(group, [])
        if folder == str(self._root) or self._is_new(group, folder):
            self._walk(group, folder)

    def result(self) -> Listing:
        while self._links:
            links, self._links = sorted(self._links), []
            for group, path in links:
                if os.path.isdir(path):  # noqa: PTH112 - as everywhere here, for speed
                    if self._is_new(group, path):
                        self._walk(group, path)
                elif os.path.isfile(path):  # noqa: PTH113
                    self._take(group, path, identity(path))
                else:
                    self._listing.left_out[_BROKEN] += 1
        for paths in self._listing.images.values():
            paths.sort()
        return self._listing

    def _walk(self, group: str, folder: str) -> None:
        waiting = [folder]
        while waiting:
            here = waiting.pop()
            device = os.stat(here).st_dev  # noqa: PTH116
            try:
                with os.scandir(here) as found:
                    entries = sorted((entry for entry in found if entry.name[0] != "."), key=lambda entry: entry.name)
            except OSError as error:
                raise DataError(
                    f"cannot list the folder '{here}' ({error.strerror}): make it readable, or move it elsewhere"
                ) from None
            for entry in entries:
                if entry.is_symlink():
                    self._links.append((group, entry.path))
                elif entry.is_dir():
                    if self._is_new(group, entry.path):
                        waiting.append(entry.path)
                elif entry.is_file():
                    self._take(group, entry.path, (device, entry.inode()) if entry.inode() else entry.path)

    def _is_new(self, group: str, folder: str) -> bool:
        own = identity(folder)
        if own not in self._folders:
            self._folders[own] = group, folder
            return True
        other, before = self._folders[own]
        if other is not None and other != group:
            raise DataError(
                f"expected each folder in one class, got '{folder}' in {group} and '{before}' in {other}, which are "
                "the same folder: remove one of them"
            )
        if folder != before:
            self._listing.repeated.append(folder)
        return False

    def _take(self, group: str, path: str, own: Identity) -> None:
        if own in self._uncounted:
            return
        suffix = os.path.splitext(path)[1].lower()  # noqa: PTH122
        if not self._is_image(path, suffix):
            self._listing.left_out[suffix] += 1
            return
        if own in self._files:
            other, before = self._files[own]
            if other != group:
                raise DataError(
                    f"expected each image in one class, got '{path}' in {group} and '{before}' in {other}, which are "
                    "the same file: remove one of them"
                )
            self._listing.repeated.append(path)
            return
        self._files[own] = group, path
        self._listing.images[group].append(Path(path))

    def _is_image(self, path: str, suffix: str) -> bool:
        if suffix in self._suffixes:
            return True
        if self._former:
            return False
        if suffix in HEIF_SUFFIXES:
            return can_read_heif()
        return not suffix and looks_like(path)


def say_left_out(listing: Listing) -> None:
    """Print a line about files of other kinds and one about repeated names, if there are any."""
    without = {suffix: n for suffix, n in listing.left_out.items() if suffix not in HEIF_SUFFIXES}
    heif = {suffix: n for suffix, n in listing.left_out.items() if suffix in HEIF_SUFFIXES}
    parts = [", ".join(_count(without))] if without else []
    if heif:
        verb = "needs" if sum(heif.values()) == 1 else "need"
        parts.append(f"{', '.join(_count(heif))} {verb} the extra heif (pip install 'msal_lightning[heif]')")
    if parts:
        say(f"left out: {'; '.join(parts)}")
    if names := sorted(listing.repeated):
        what = "1 name leads" if len(names) == 1 else f"{len(names)} names lead"
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        shown = ", ".join(f"'{name}'" for name in names[:3])
        say(f"{what} to images or folders that are already listed; each image counts once: {shown}{more}")


def _count(kinds: dict[str, int]) -> list[str]:
    largest_first = sorted(kinds.items(), key=lambda kind: (-kind[1], kind[0]))
    shown = [f"{n:,} {suffix or 'without extension'}" for suffix, n in largest_first[:8]]
    if rest := largest_first[8:]:
        shown.append(f"{sum(n for _, n in rest):,} of {len(rest)} other kinds")
    return shown
