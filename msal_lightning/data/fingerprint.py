"""Detect images and labels that changed since the start of a run.

A run directory keeps one line for each image in ``images.jsonl.gz``, and a digest of them in the record of round 0. An
image in memory is known by a digest of its pixels. An image file is known by its path below the root, its size and the
time of its last change; where only the time differs, as in a folder that was copied, a digest of up to three pieces of
16 KiB decides, which is the whole of a small file. With ``data.verify: content`` a digest of the whole file decides.
"""

import gzip
import hashlib
import io
import itertools
import json
import os
import zlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from msal_lightning.data.base import ActiveDataModule
from msal_lightning.data.labels import label_marks, mark_of_all
from msal_lightning.io.wording import counted

FILE = "images.jsonl.gz"
"""In the run directory."""
FILES = (r"images\.jsonl\.gz",)
"""See :mod:`~msal_lightning.io.own_files`."""
PARTS = ("train", "test")
NamedFiles = Sequence[tuple[str, str]]
"""Path below the root and absolute path of each image file."""
_PIECE = 16 * 1024  # bytes
_BLOCK = 4096  # files that are read at once
_LONGEST = 2**16  # bytes of a line: a stranger's file must not fill the memory


class Print(NamedTuple):
    """The properties that identify one image.

    Attributes:
        part: train or test.
        path: relative to the folder of its part; blank for an image in memory.
        label: digest of its label; blank where it is not known.
        size: bytes of the file; 0 for an image in memory.
        modified: when the file was last changed, in ns; 0 for an image in memory.
        sample: digest of the pixels, or of some pieces of the file; blank if not computed.
        content: digest of the whole file; blank unless ``data.verify`` is content.
        group: digest of the name of its group; blank without ``data.group``.
    """

    part: str
    path: str
    label: str
    size: int = 0
    modified: int = 0
    sample: str = ""
    content: str = ""
    group: str = ""


def take_fingerprint(data: ActiveDataModule) -> list[Print]:
    """Look at every image once: the training images first, then the test images.

    Args:
        data: data module after ``setup``.
    """
    return [image for part in PARTS for image in _look(data, part, closely=True)]


def look_at_files(files: NamedFiles, labels: Iterable[str], verify: bool) -> list[Print]:
    """Look at image files that are no training images yet.

    Args:
        files: names and paths.
        labels: digest of each label, see :func:`~msal_lightning.data.labels.label_marks`.
        verify: whether ``data.verify`` is content.
    """
    return [*_look_at_files("train", files, labels, verify, closely=True)]


def digest_of(prints: Iterable[Print]) -> str:
    """Hash all images and labels, independent of folders and times of change."""
    digest = hashlib.blake2b(digest_size=16)
    for image in prints:
        known_by = f"{image.part}\0{image.path}\0{image.label}\0{image.size}\0{image.sample}\n"
        digest.update(known_by.encode())
    return digest.hexdigest()


def to_bytes(prints: Iterable[Print]) -> bytes:
    """As the run directory keeps them: one JSON list a line, compressed."""
    out = io.BytesIO()
    with gzip.GzipFile(fileobj=out, mode="wb", mtime=0, compresslevel=1) as file:  # digests hardly shrink
        file.writelines(f"{json.dumps(as_list(image))}\n".encode() for image in prints)
    return out.getvalue()


def as_list(image: Print) -> list[str | int]:
    """Return the values as files have them: without a group, as before there were any."""
    return [*(image if image.group else image[:-1])]


def read_fingerprint(file: Path) -> Iterator[Print]:
    """The lines of a run directory's file, one after the other.

    Raises:
        ValueError: it is damaged.
        OSError: it cannot be read.
    """
    try:
        with gzip.open(file) as lines:
            while line := lines.readline(_LONGEST):
                yield Print(*json.loads(line))
    except (EOFError, TypeError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(str(error)) from None


def first_change(
    before: Iterable[Print], data: ActiveDataModule, parts: Sequence[str] = PARTS, removed: Collection[str] = ()
) -> str | None:
    """Return the first change, with its path or index; None if there is none.

    Args:
        before: as the run directory has them.
        data: data module after ``setup``.
        parts: those to compare; a run that is replayed may be tested on other images.
        removed: paths of training images whose files do not matter any more.

    Raises:
        ValueError: the file of the run directory is damaged.
    """
    then = (image for image in before if image.part in parts)
    files = {part: data.image_files(part) or data.row_files(part) for part in parts}
    now = itertools.chain.from_iterable(_look(data, part, closely=False) for part in parts)
    rows = Counter[str]()
    for old, new in itertools.zip_longest(then, now):
        if old is None or new is None or old[:2] != new[:2]:
            return _say_other_images([*([old] if old else []), *then], [*([new] if new else []), *now], rows)
        row, rows[new.part] = rows[new.part], rows[new.part] + 1
        if new.path in removed and new.part == "train":
            continue
        name = f"'{new.path}'" if new.path else f"{new.part} image {row}"
        if old.label and new.label and old.label != new.label:
            return f"the label of {name} is another one"
        if old.group and new.group and old.group != new.group:
            return f"the group of {name} is another one"
        if named := files[new.part]:
            change = _file_changed(old, new, named[row][1], data.verify == "content")
        else:
            change = "has other pixels" if old.sample and new.sample and old.sample != new.sample else None
        if change:
            return f"{name} {change}"
    return None


def find_by_content(files: Sequence[str], wanted: Iterable[Print]) -> list[int]:
    """Find files with the content of recorded files in any folder; files of the same size are opened.

    Args:
        files: paths.
        wanted: recorded files.

    Returns:
        Their places, ascending.
    """
    known = {(image.size, image.sample) for image in wanted if image.sample}
    sizes = {size for size, _ in known}
    found = ((place, path, _stat(path)[0]) for place, path in enumerate(files))
    return [place for place, path, size in found if size in sizes and (size, _digest_file(path, False)) in known]


def is_same_file(known: Print, path: str) -> bool:
    """Return whether a file is the recorded one, by size and time, or by content if only the time differs."""
    return _file_changed(known, known._replace(size=_stat(path)[0], modified=_stat(path)[1]), path, False) is None


def _file_changed(old: Print, new: Print, file: str, verify: bool) -> str | None:
    if old.size != new.size:
        return f"has other content, {old.size:,} bytes before and {new.size:,} now"
    if old.modified == new.modified and not verify:
        return None
    whole = verify and old.content != ""
    same = _digest_file(file, whole) == (old.content if whole else old.sample)
    return None if same else "has other content"


def _say_other_images(before: list[Print], now: list[Print], same: Counter[str]) -> str:
    """Describe the first image that is new, missing or moved, after the equal images at the start."""
    if not any(image.path for image in (*before, *now)):
        counts = [Counter(image.part for image in images) + same for images in (before, now)]
        part = next(part for part in PARTS if counts[0][part] != counts[1][part])
        return f"there were {counted(counts[0][part], f'{part} image')} and are {counts[1][part]:,} now"
    old, new = ({image[:2]: image.path for image in images} for images in (before, now))
    added = [path for key, path in new.items() if key not in old]
    gone = [path for key, path in old.items() if key not in new]
    if newcomers := [path for path in added if path not in {*gone}]:
        return f"'{newcomers[0]}' is new" + _and_more(newcomers)
    if lost := [path for path in gone if path not in {*added}]:
        return f"'{lost[0]}' is gone" + _and_more(lost)
    if added:
        return f"'{added[0]}' moved between training and test images" + _and_more(added)
    return f"'{now[0].path}' is in another place of the order"


def _and_more(paths: list[str]) -> str:
    return f", and {len(paths) - 1} more" if len(paths) > 1 else ""


def _look(data: ActiveDataModule, part: str, closely: bool) -> Iterator[Print]:
    """The images of a part; files are opened to look closely only."""
    if names := data.group_names.get(part):
        in_rows = data.row_files(part) is not None  # one mark of many, as for labels
        marks = _mark_rows(data, part, lambda rows: mark_group(*names[rows])) if in_rows else map(mark_group, names)
        yield from (
            image._replace(group=mark) for image, mark in zip(_ungrouped(data, part, closely), marks, strict=False)
        )
    else:
        yield from _ungrouped(data, part, closely)


def mark_group(*names: str) -> str:
    """Return a digest of the name of an image's group, or of many names."""
    return hashlib.blake2b("\0".join(names).encode(errors="surrogateescape"), digest_size=4).hexdigest()


def _mark_rows(data: ActiveDataModule, part: str, mark: Callable[[slice], str]) -> Iterator[str]:
    """Mark the rows behind each file, those that several files share once."""
    marks = dict[tuple[int | None, int | None], str]()
    for rows in data.rows_behind(part):
        key = rows.start, rows.stop
        if key not in marks:
            marks[key] = mark(rows)
        yield marks[key]


def _ungrouped(data: ActiveDataModule, part: str, closely: bool) -> Iterator[Print]:
    is_train = part == "train"
    if (files := data.row_files(part)) is not None:
        tested = mark_of_all(data.test.label)
        marks = _mark_rows(data, part, data.hidden_labels.mark_of_all if is_train else lambda _: tested)
        files = files or [("", "")]  # a part of the other one's files, with labels of its own
        yield from _look_at_files(part, files, marks, data.verify == "content", closely)
        return
    labels = data.hidden_labels.marks() if is_train else label_marks(data.test.label)
    if (files := data.image_files(part)) is not None:
        yield from _look_at_files(part, files, labels, data.verify == "content", closely)
        return
    image = data.images if is_train else data.test.image
    pixels = _digest_rows(image) if isinstance(image, Tensor) else itertools.repeat("")
    for label, sample in zip(labels, pixels, strict=False):
        yield Print(part, "", label, sample=sample)


def _look_at_files(part: str, files: NamedFiles, labels: Iterable[str], verify: bool, closely: bool) -> Iterator[Print]:
    paths = [path for _, path in files]
    found = _read_all(paths, verify) if closely else ((*_stat(path), "", "") for path in paths)
    for (name, _), label, known_by in zip(files, labels, found, strict=False):
        yield Print(part, name, label, *known_by)


def _digest_rows(image: Tensor) -> Iterator[str]:
    for row in image.numpy():
        yield hashlib.blake2b(row.tobytes(), digest_size=6).hexdigest()


def _read_all(files: Sequence[str], whole: bool) -> Iterator[tuple[int, int, str, str]]:
    def look(file: str) -> tuple[int, int, str, str]:
        return (*_stat(file), _digest_file(file, False), _digest_file(file, True) if whole else "")

    with ThreadPoolExecutor(min(16, 4 * (os.cpu_count() or 1))) as threads:  # the wait is for the disk
        for start in range(0, len(files), _BLOCK):
            yield from threads.map(look, files[start : start + _BLOCK])


def _stat(file: str) -> tuple[int, int]:
    try:
        found = os.stat(file)  # noqa: PTH116 - a million Path objects take longer than the disk
    except OSError:  # whoever decodes it says why
        return 0, 0
    return found.st_size, found.st_mtime_ns


def _digest_file(path: str, whole: bool) -> str:
    """Hash a file, or its beginning, middle and end."""
    digest = hashlib.blake2b(digest_size=6)
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            size = os.fstat(file.fileno()).st_size
            if whole or size <= 3 * _PIECE:
                while piece := file.read(2**20):
                    digest.update(piece)
            else:
                for start in (0, (size - _PIECE) // 2, size - _PIECE):
                    file.seek(start)
                    digest.update(file.read(_PIECE))
    except OSError:
        return ""
    return digest.hexdigest()
