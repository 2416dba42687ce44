"""TinyImageNet."""

import io
import re
import zipfile
import zlib
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from msal_lightning.data.base import ActiveDataModule
from msal_lightning.data.batches.loading import ImageSet
from msal_lightning.data.batches.read_only import is_read_only
from msal_lightning.data.images.decoding import Decoding
from msal_lightning.data.images.download import download_file
from msal_lightning.data.images.image_files import decode_all, name_some
from msal_lightning.errors import DataError, UserError
from msal_lightning.io.archives import check_zip
from msal_lightning.io.atomic import atomic_file, write_atomically
from msal_lightning.io.folder_mark import MARK, claim_folder
from msal_lightning.io.lock import DirectoryLock
from msal_lightning.io.own_files import remove_parts
from msal_lightning.io.terminal import say

_NAME = "tiny-imagenet-200"
_URL = f"http://cs231n.stanford.edu/{_NAME}.zip"
_MD5 = "90528d7ca1a48142e341f4ef8d21d0de"
_ANNOTATIONS = "val/val_annotations.txt"
_SIZE = 64
_LARGEST = 2**24  # bytes of a file in the archive; the official ones are far below, and a bomb must not fill the memory
_CACHE = "msal-cache-1"  # the number increases when a version makes other arrays
_CACHE_FILES = (r"(learn|test)_(image|label)\.npy", r"class_names\.npy", "complete", re.escape(MARK))


class TinyImageNet(ActiveDataModule):
    """Photographs, 64×64 colour: 200 classes, 100,000 to train on, 10,000 to test.

    The images are read once from the official zip, without unpacking it, or from its unpacked folder. They are cached
    as one array, which is all that later runs need (delete msal-cache-1 to read the images again). The official
    validation set is the test set. Classes are in the order of their WordNet ids.
    """

    mean = (0.4802, 0.4481, 0.3975)
    std = (0.2770, 0.2691, 0.2821)
    class_names = tuple(str(c) for c in range(200))
    files = ("tiny-imagenet-200", "tiny-imagenet-200.zip", "msal-cache-1")
    source = "http://cs231n.stanford.edu/tiny-imagenet-200.zip"

    def load(self) -> tuple[ImageSet, ImageSet]:
        """Read the cache, or make it.

        Raises:
            DataError: files are missing, damaged or not those of TinyImageNet.
        """
        cache = Path(self.root) / _CACHE
        if (found := _read_cache(cache)) is None:
            if cache.is_dir():
                say(f"{cache} is unfinished or damaged: it is made again", flush=True)
            found = _decode(self._source())
            if not is_read_only():
                _write_cache(cache, *found)
        learn, test, names = found
        self.class_names = names
        return learn, test

    def _source(self) -> "_Folder | _Zip":
        root = Path(self.root)
        folder, file = root / _NAME, root / f"{_NAME}.zip"
        if (folder / "train").is_dir() and (folder / "val").is_dir():
            return _Folder(folder)
        # folders train and val alone may belong to another dataset
        if (root / "train").is_dir() and (root / _ANNOTATIONS).is_file():
            return _Folder(root)
        if not file.exists():
            download_file(self, _URL, _MD5, file)
        return _Zip(file)


class _Folder:
    """The unpacked dataset."""

    def __init__(self, folder: Path) -> None:
        self.where = str(folder)
        self._folder = folder
        self.names = {path.relative_to(folder).as_posix() + "/" * path.is_dir() for path in folder.rglob("*")}

    def read(self, name: str) -> bytes:
        return (self._folder / name).read_bytes()


class _Zip:
    """The official archive; its files are read without unpacking, so none can be written elsewhere."""

    def __init__(self, file: Path) -> None:
        self.where = str(file)
        try:
            check_zip(file, times=20, most=1_000_000)  # JPEG hardly packs
            self._zip = zipfile.ZipFile(file)
        except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile) as error:
            raise DataError(f"cannot read '{file}' ({error}): delete it, and it is fetched again") from None
        members = self._zip.infolist()
        for member in members:
            path = PurePosixPath(member.filename)
            if path.is_absolute() or ".." in path.parts:
                raise DataError(
                    f"'{file}' has a file with the path '{path}' outside of it: delete it, and it is fetched again"
                )
        self._members = {member.filename.removeprefix(f"{_NAME}/"): member for member in members}
        self.names = set(self._members)

    def read(self, name: str) -> bytes:
        member = self._members[name]
        if member.file_size > _LARGEST:
            raise OSError(f"it would take {member.file_size:,} bytes unpacked")
        return self._zip.read(member)


def _read(source: _Folder | _Zip, name: str) -> bytes:
    try:
        return source.read(name)
    except (OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:  # RuntimeError: encrypted
        raise DataError(
            f"cannot read '{name}' in '{source.where}' ({error}): delete it, and it is fetched again"
        ) from None


def _lines(source: _Folder | _Zip, name: str) -> list[list[str]]:
    """Return the fields of each line."""
    try:
        return [line.split("\t") for line in _read(source, name).decode().splitlines() if line]
    except UnicodeDecodeError as error:
        raise DataError(
            f"cannot read '{name}' in '{source.where}' as text ({error}): delete it, and it is fetched again"
        ) from None


def _decode(source: _Folder | _Zip) -> tuple[ImageSet, ImageSet, tuple[str, ...]]:
    train, classes = _train(source)
    number = {wnid: c for c, wnid in enumerate(classes)}
    val = _val(source, number)
    names = tuple(classes)
    if "words.txt" in source.names:
        words = {
            line[0]: line[-1].split(",")[0].strip() for line in _lines(source, "words.txt")
        }  # the first of several
        names = tuple(words.get(wnid) or wnid for wnid in classes)
    learn = _images(source, train, [number[_class(name)] for name in train])
    return learn, _images(source, list(val), list(val.values())), names


def _train(source: _Folder | _Zip) -> tuple[list[str], list[str]]:
    """Return training files and classes, in order."""
    train = sorted(name for name in source.names if _is_image(name) and name.startswith("train/"))
    found = {_class(name) for name in train}
    classes = {name.split("/")[1] for name in source.names if name.startswith("train/") and name.count("/") > 1}
    classes = {name for name in classes if not name.startswith(".")}
    if "wnids.txt" in source.names:
        classes |= {line[0].strip() for line in _lines(source, "wnids.txt")}
    if not found or _ANNOTATIONS not in source.names:
        raise DataError(
            f"expected train/<class>/images and {_ANNOTATIONS} in '{source.where}', found {len(found)} classes: put "
            f"{_NAME}.zip there, from {_URL}"
        )
    if empty := sorted(classes - found):
        raise DataError(
            f"found no training images of {name_some(empty)} in '{source.where}': delete it, and it is fetched again"
        )
    return train, sorted(found)


def _val(source: _Folder | _Zip, number: dict[str, int]) -> dict[str, int]:
    """Return the class of each test file, in order."""
    lines = sorted((f"val/images/{line[0]}", line[1]) for line in _lines(source, _ANNOTATIONS) if len(line) > 1)
    wrong = {name for name, _ in lines if name not in source.names} | {wnid for _, wnid in lines if wnid not in number}
    if wrong or not lines:
        which = f"{name_some(sorted(wrong))}, not in the dataset" if wrong else "no lines"
        raise DataError(
            f"expected {_ANNOTATIONS} in '{source.where}' to have a line for each test file, with its class, got "
            f"{which}: delete it, and it is fetched again"
        )
    val = {name: number[wnid] for name, wnid in lines}
    images = {name for name in source.names if _is_image(name) and name.startswith("val/")}
    if extra := sorted(images - set(val)):
        raise DataError(f"{name_some(extra)} in '{source.where}' has no line in {_ANNOTATIONS}: delete the file")
    return val


def _is_image(name: str) -> bool:
    """Whether a name is train/<class>/images/<file> or val/images/<file>; a Mac adds hidden files."""
    path = PurePosixPath(name)
    is_place = len(path.parts) == (4 if name.startswith("train/") else 3) and path.parent.name == "images"
    return is_place and path.suffix.lower() in (".jpeg", ".jpg", ".png") and not path.name.startswith(".")


def _class(name: str) -> str:
    return name.split("/")[1]


def _images(source: _Folder | _Zip, names: list[str], labels: list[int]) -> ImageSet:
    files: Iterable[tuple[str, io.BytesIO]] = (
        (f"{source.where}/{name}", io.BytesIO(_read(source, name))) for name in names
    )
    return ImageSet(decode_all(files, len(names), Decoding(_SIZE, 3)), torch.tensor(labels, dtype=torch.int64))


def _write_cache(cache: Path, learn: ImageSet, test: ImageSet, names: tuple[str, ...]) -> None:
    again = "each run will decode the images again"
    try:
        claim_folder(cache, "image cache", "the cache", _made_before)
        with closing(DirectoryLock(cache / "lock", "the cache")) as lock:
            lock.acquire()
            remove_parts(cache, _CACHE_FILES)
            (cache / "complete").unlink(missing_ok=True)
            for part, images in (("learn", learn), ("test", test)):
                _save(cache / f"{part}_image.npy", np.asarray(images.image))
                _save(cache / f"{part}_label.npy", images.label.numpy())
            _save(cache / "class_names.npy", np.array(names))
            write_atomically(cache / "complete", "")  # last, because a cache without it is made again
    except UserError as error:  # not ours, or another process writes the same images
        say(f"{cache} cannot be written ({str(error).partition(': ')[0]}): {again}")
    except OSError as error:
        say(f"{cache} cannot be written ({error.strerror or error}): {again}")


def _made_before(cache: Path) -> bool:
    """Return whether a folder is a cache of a version without marks: it has exactly these files."""
    of_killed = r"(\.[0-9]+)?"
    return all(
        any(re.fullmatch(pattern + of_killed, entry.name) for pattern in _CACHE_FILES) for entry in cache.iterdir()
    )


def _save(file: Path, array: NDArray[Any]) -> None:
    with atomic_file(file) as stream:
        np.save(stream, array)


def _read_cache(cache: Path) -> tuple[ImageSet, ImageSet, tuple[str, ...]] | None:
    """Return the cached images; None if the cache is missing, unfinished or damaged."""
    if not (cache / "complete").exists():
        return None
    try:
        names = tuple(np.load(cache / "class_names.npy", mmap_mode="r").tolist())
        learn, test = (
            ImageSet(
                # mapped, so that the start need not wait until 1.2 GB are read; "c": writable, but never written back
                torch.from_numpy(np.load(cache / f"{part}_image.npy", mmap_mode="c")),
                torch.from_numpy(np.load(cache / f"{part}_label.npy", mmap_mode="c")),
            )
            for part in ("learn", "test")
        )
    except (OSError, ValueError, EOFError, TypeError):
        return None
    for image, label in (learn, test):
        fits = (
            image.shape == (len(label), 3, _SIZE, _SIZE) and image.dtype == torch.uint8 and label.dtype == torch.int64
        )
        if not fits or label.ndim != 1 or not 0 <= label.min() <= label.max() < len(names):
            return None
    return learn, test, names
