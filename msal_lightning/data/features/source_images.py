"""The images behind features that ``embed`` wrote: where they are, and which part of them the network saw."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msal_lightning.data.features.manifest import MANIFEST, read_manifest
from msal_lightning.data.images.decoding import Decoding
from msal_lightning.data.images.preprocessing import Preprocessing
from msal_lightning.errors import DataError


def path_from(folder: Path, root: str) -> str:
    """Return the path of the images as the manifest has it: it stays right if both folders move together.

    Args:
        folder: the folder of the features.
        root: the folder of the images.
    """
    try:
        return Path(os.path.relpath(os.path.realpath(root), os.path.realpath(folder))).as_posix()
    except ValueError:  # on another drive
        return os.path.realpath(root)


def read_source(folder: Path) -> tuple[Path, Decoding | None]:
    """Return the folder of the images, and how the network reads them.

    Args:
        folder: the folder of the features; without a manifest it is the folder of the images, too.

    Raises:
        DataError: the manifest is damaged.
    """
    manifest = read_manifest(folder)
    if manifest is None:
        return folder, None
    try:
        root = Path(os.path.normpath(os.path.join(os.path.realpath(folder), manifest["source"]["root"])))  # noqa: PTH118
        return root, _decoding(manifest["preprocessing"])
    except (KeyError, TypeError, ValueError):
        raise DataError(
            f"cannot read source and preprocessing in '{folder / MANIFEST}': run embed again into another folder, or "
            "delete the file to use the features as they are"
        ) from None


def _decoding(values: Mapping[str, Any]) -> Decoding:
    own: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    ranges = {name: (float(low), float(high)) for name, (low, high) in own.pop("value_range").items()}
    return Preprocessing(**own).decoding(Decoding(own["size"], 3, ranges=ranges or None))
