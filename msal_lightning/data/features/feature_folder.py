"""A folder with features in one file or in several."""

from pathlib import Path

from msal_lightning.data.features.feature_files import SUFFIXES, FeatureFile, open_features
from msal_lightning.data.features.manifest import check_files, refuse_unfinished
from msal_lightning.errors import DataError


def list_files(folder: Path, key: str) -> list[Path]:
    """Return the files of features in their order; they all have the same suffix.

    Args:
        folder: the folder.
        key: key of the option that names it.

    Raises:
        DataError: there are none, files of several kinds, or ``embed`` has not finished.
    """
    refuse_unfinished(folder)
    names = sorted(folder.glob("features*")) if folder.is_dir() else []
    found = [file for suffix in SUFFIXES for file in names if file.suffix == suffix]
    if not found or len({file.suffix for file in found}) > 1:
        raise DataError(
            f"expected features.npy, or files like features-000.npy, in {key} '{folder}', found "
            f"{', '.join(file.name for file in found[:3]) or 'none'}: set it to the folder of your features, with "
            "files of one kind"
        )
    return found


def open_files(paths: list[Path], like: FeatureFile | None = None) -> list[FeatureFile]:
    """Open files of features.

    Args:
        paths: see :func:`list_files`.
        like: a file of the same features; by default the first of them.

    Raises:
        DataError: a file cannot be read, has another width or type, or is not as the manifest says.
    """
    files = [open_features(path) for path in paths]
    check_files(paths[0].parent, {path.name: file.shape[0] for path, file in zip(paths, files, strict=True)})
    like = files[0] if like is None else like
    for path, file in zip(paths, files, strict=True):
        if (file.shape[1], file.dtype) != (like.shape[1], like.dtype):
            raise DataError(
                f"expected {like.shape[1]} features of {like.dtype} in '{path}', as in the other files, got "
                f"{file.shape[1]} of {file.dtype}: write it again with the same model"
            )
    return files
