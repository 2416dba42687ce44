"""Find new images: a folder, a CSV file, files, a pattern, or a folder of features."""

import glob
import os
from collections.abc import Sequence
from pathlib import Path

from msal_lightning.data.features.feature_files import FeatureRows
from msal_lightning.data.features.feature_folder import list_files, open_files
from msal_lightning.data.features.manifest import read_manifest
from msal_lightning.data.images.decoding import Decoding
from msal_lightning.data.images.listing import list_images, say_left_out
from msal_lightning.data.label_files.label_table import read_table, refuse_lines
from msal_lightning.errors import ConfigError, DataError
from msal_lightning.inference.ready import ReadyModel
from msal_lightning.inference.sources import FeatureList, ImageList, NewImages
from msal_lightning.io.wording import counted

_HOW = "name one folder, one CSV file with the column path, image files, or a pattern like 'photos/*.jpg'"


def find_images(words: Sequence[str], ready: ReadyModel, root: Path | None = None) -> NewImages:
    """List new images; none is read.

    Args:
        words: a folder, a CSV file or a pattern; or several files. For a run on features, one folder of features.
        ready: the model.
        root: of a CSV file: the folder in which its paths begin; its own folder by default.

    Raises:
        ConfigError: there is nothing of that kind.
        DataError: the CSV file or the features are wrong, or there are no images.
    """
    if root is not None and not _is_csv(words):
        raise ConfigError("expected --root with a CSV file only: the paths of a folder or a pattern need none")
    if ready.decoding is None:
        return _features(words, ready)
    how = ready.decoding
    if len(words) > 1:
        return _files(words, how)
    path = Path(words[0])
    if path.is_dir():
        return _folder(path, how)
    if _is_csv(words):
        return _csv(path, path.parent if root is None else root, how)
    if path.is_file():
        return _files(words, how)
    found = sorted(file for file in glob.glob(words[0], recursive=True) if Path(file).is_file())  # noqa: PTH207 - absolute ones
    if not found:
        raise ConfigError(f"expected images at '{words[0]}', found none: {_HOW}")
    return _files(found, how)


def _is_csv(words: Sequence[str]) -> bool:
    return len(words) == 1 and words[0].lower().endswith(".csv") and not Path(words[0]).is_dir()


def _files(words: Sequence[str], how: Decoding) -> ImageList:
    if missing := next((word for word in words if not Path(word).is_file()), None):
        got = "a folder" if Path(missing).is_dir() else "none"
        raise ConfigError(f"expected '{missing}' to be an image file, got {got}: {_HOW}")
    return ImageList([_text(word) for word in words], words, how)


def _folder(folder: Path, how: Decoding) -> ImageList:
    listing = list_images({"": folder}, folder)
    say_left_out(listing)
    files = [str(file) for file in listing.images[""]]
    if not files:
        more = ": it has features, which only a run on features takes" if [*folder.glob("features*")] else f": {_HOW}"
        raise DataError(f"expected images below '{folder}', found none{more}")
    return ImageList([_text(os.path.relpath(file, folder)) for file in files], files, how)


def _csv(file: Path, root: Path, how: Decoding) -> ImageList:
    where = f"'{file}'"
    _, lines = read_table(file, ("path",), where)
    blank = "path is blank"
    refuse_lines(
        [line.damage or f"line {line.number}: {blank}" for line in lines if line.damage or not line.fields["path"]],
        where,
    )
    if not lines:
        raise DataError(f"expected lines with a path in {where}, found none: add some")
    names = [line.fields["path"] for line in lines]
    paths = [str(root / name) for name in names]
    if not any(Path(path).is_file() for path in paths):
        raise DataError(
            f"found no file of the {counted(len(paths), 'path')} in {where}, '{paths[0]}' for example: set --root to "
            "the folder in which they begin"
        )
    return ImageList(names, paths, how)


def _features(words: Sequence[str], ready: ReadyModel) -> FeatureList:
    folder = Path(words[0])
    if len(words) > 1 or not any(folder.glob("features*")):
        raise ConfigError(
            f"expected a folder of features, because '{ready.trained.run.folder}' is a run on features, got "
            f"'{words[0]}': compute them with `embed` and the network of the run's own features, and name their folder"
        )
    files = list_files(folder, "IMAGES")
    rows = FeatureRows(open_files(files))
    count, width, *_ = rows.shape
    if width != ready.network.num_channels:
        raise DataError(
            f"expected {ready.network.num_channels:,} features in each row of '{folder}', as the run was trained on, "
            f"got {width:,}: compute them with the same model"
        )
    _check_same_encoder(folder, Path(ready.data.root))
    return FeatureList(_row_names(folder, count), files, rows)


def _check_same_encoder(folder: Path, own: Path) -> None:
    """Refuse features that ``embed`` computed with another network or preprocessing than the run's own.

    Raises:
        DataError: they differ.
    """
    new, old = read_manifest(folder), read_manifest(own)
    for key, what in (("model", "network"), ("preprocessing", "preprocessing")):
        if new and old and new.get(key) != old.get(key):
            raise DataError(
                f"expected features from the {what} that made '{own}', which the run was trained on, got others in "
                f"'{folder}': run `embed` with the same options"
            )


def _row_names(folder: Path, count: int) -> list[str] | None:
    """Return the image behind each row from ``labels.csv``; None if it has none."""
    file = folder / "labels.csv"
    if not file.is_file():
        return None
    columns, lines = read_table(file, (), f"'{file}'")
    if "path" not in columns:
        return None
    if len(lines) != count:
        raise DataError(
            f"expected one line for each of the {count:,} rows of features in '{file}', got {len(lines):,}: write both "
            "again, in the same order"
        )
    return [line.fields["path"] for line in lines]


def _text(path: str) -> str:
    return path.encode(errors="backslashreplace").decode()  # a file name may be no valid text
