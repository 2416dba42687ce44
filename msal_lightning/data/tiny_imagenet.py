"""TinyImageNet."""

import io
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

import numpy as np
import torch

from msal_lightning.data.base import ActiveDataModule
from msal_lightning.data.download import download_file
from msal_lightning.data.files import decode_all
from msal_lightning.data.views import Images
from msal_lightning.errors import UserError

_NAME = "tiny-imagenet-200"
_URL = f"http://cs231n.stanford.edu/{_NAME}.zip"
_MD5 = "90528d7ca1a48142e341f4ef8d21d0de"
_SIZE = 64
_CACHE = "msal-cache-1"  # a number that rises when the arrays would come out differently


class TinyImageNet(ActiveDataModule):
    """Photographs, 64×64 colour: 200 classes, 100,000 to learn from, 10,000 to test.

    Read once from the official zip, without unpacking it, or from its unpacked folder; then kept as one array.
    The official validation set is the test set. Classes are in the order of their WordNet ids.
    """

    mean = (0.4802, 0.4481, 0.3975)
    std = (0.2770, 0.2691, 0.2821)
    class_names = tuple(str(c) for c in range(200))
    files = ("tiny-imagenet-200", "tiny-imagenet-200.zip", "msal-cache-1")
    source = "http://cs231n.stanford.edu/tiny-imagenet-200.zip"

    def load(self) -> tuple[Images, Images]:
        """Read the cache, or make it.

        Raises:
            UserError: files are missing, damaged or not those of TinyImageNet.
        """
        cache = Path(self.root) / _CACHE
        if (found := _read_cache(cache)) is None:
            found = _decode(self._archive())
            _write_cache(cache, *found)
        learn, test, names = found
        self.class_names = names
        return learn, test

    def _archive(self) -> "_Folder | _Zip":
        root = Path(self.root)
        for folder in (root / _NAME, root):
            if (folder / "train").is_dir() and (folder / "val").is_dir():
                return _Folder(folder)
        file = root / f"{_NAME}.zip"
        if not file.exists():
            download_file(self, _URL, _MD5, file)
        return _Zip(file)


class _Folder:
    """The unpacked dataset."""

    def __init__(self, folder: Path) -> None:
        self.where = str(folder)
        self._folder = folder

    def names(self) -> Iterator[str]:
        return (path.relative_to(self._folder).as_posix() for path in self._folder.rglob("*") if path.is_file())

    def read(self, name: str) -> bytes:
        return (self._folder / name).read_bytes()


class _Zip:
    """The official archive, read where it lies: nothing is unpacked, so nothing can escape."""

    def __init__(self, file: Path) -> None:
        self.where = str(file)
        try:
            self._zip = zipfile.ZipFile(file)
        except (OSError, zipfile.BadZipFile) as error:
            raise UserError(f"cannot read '{file}' ({error}): delete it, and it is fetched again") from None
        for name in self._zip.namelist():
            path = PurePosixPath(name)
            if path.is_absolute() or ".." in path.parts:
                raise UserError(
                    f"'{file}' holds the path '{name}', which leads out of it: delete it and fetch it again"
                )

    def names(self) -> Iterator[str]:
        return (name.removeprefix(f"{_NAME}/") for name in self._zip.namelist() if not name.endswith("/"))

    def read(self, name: str) -> bytes:
        try:
            return self._zip.read(f"{_NAME}/{name}")
        except (OSError, EOFError, zipfile.BadZipFile, zipfile.zlib.error) as error:  # type: ignore[attr-defined]
            raise UserError(
                f"cannot read '{name}' in '{self.where}' ({error}): delete it, and it is fetched again"
            ) from None


def _decode(archive: _Folder | _Zip) -> tuple[Images, Images, tuple[str, ...]]:
    files = set(archive.names())
    train = sorted(name for name in files if name.startswith("train/") and _is_image(name))
    classes = sorted({name.split("/")[1] for name in train})
    if len(classes) < 2 or "val/val_annotations.txt" not in files:
        raise UserError(
            f"expected train/<class>/images and val/val_annotations.txt in '{archive.where}', found {len(classes)} "
            f"classes: put {_NAME}.zip there, from {_URL}"
        )
    number = {wnid: c for c, wnid in enumerate(classes)}
    annotations = (line.split("\t") for line in archive.read("val/val_annotations.txt").decode().splitlines() if line)
    val = {f"val/images/{line[0]}": line[1] for line in annotations if len(line) > 1}
    if wrong := sorted(
        {name for name in val if name not in files} | {wnid for wnid in val.values() if wnid not in number}
    ):
        raise UserError(
            f"val/val_annotations.txt in '{archive.where}' names {len(wrong)} files or classes that are not there, "
            f"'{wrong[0]}' first: delete it and fetch it again"
        )
    if extra := sorted(name for name in files if name.startswith("val/images/") and name not in val):
        raise UserError(f"'{extra[0]}' in '{archive.where}' has no line in val_annotations.txt: delete the file")
    learn = _images(archive, train, [number[name.split("/")[1]] for name in train])
    test = _images(archive, sorted(val), [number[val[name]] for name in sorted(val)])
    return learn, test, _words(archive, classes) if "words.txt" in files else tuple(classes)


def _is_image(name: str) -> bool:
    return name.count("/") == 3 and name.lower().endswith((".jpeg", ".jpg", ".png"))


def _words(archive: _Folder | _Zip, classes: list[str]) -> tuple[str, ...]:
    """The first word for each class."""
    lines = (line.partition("\t") for line in archive.read("words.txt").decode().splitlines())
    words = {wnid: text.split(",")[0].strip() for wnid, _, text in lines}
    return tuple(words.get(wnid) or wnid for wnid in classes)


def _images(archive: _Folder | _Zip, names: list[str], labels: list[int]) -> Images:
    sources: Iterable[tuple[str, io.BytesIO]] = ((name, io.BytesIO(archive.read(name))) for name in names)
    return Images(decode_all(sources, len(names), _SIZE), torch.tensor(labels))


def _write_cache(cache: Path, learn: Images, test: Images, names: tuple[str, ...]) -> None:
    try:
        cache.mkdir(exist_ok=True)
        (cache / "complete").unlink(missing_ok=True)
        for part, images in (("learn", learn), ("test", test)):
            np.save(cache / f"{part}_image.npy", np.asarray(images.image))
            np.save(cache / f"{part}_label.npy", images.label.numpy())
        (cache / "class_names.txt").write_text("\n".join(names))
        (cache / "complete").touch()  # last: without it the cache is made again
    except OSError as error:
        print(f"{cache} cannot be written ({error.strerror or error}): the images will be decoded anew each time")


def _read_cache(cache: Path) -> tuple[Images, Images, tuple[str, ...]] | None:
    if not (cache / "complete").exists():
        return None
    try:
        parts = [
            Images(*(torch.from_numpy(np.load(cache / f"{part}_{what}.npy")) for what in ("image", "label")))
            for part in ("learn", "test")
        ]
        names = tuple((cache / "class_names.txt").read_text().split("\n"))
        if any(len(images.image.shape) != 4 or images.image.shape[0] != len(images.label) for images in parts):
            return None
    except (OSError, ValueError, EOFError):  # damaged: it is made again
        return None
    return parts[0], parts[1], names
