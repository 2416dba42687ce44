"""``manifest.json`` says how a folder of features was made, and whether it is complete."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msal_lightning.errors import DataError
from msal_lightning.io.json_files import read_json
from msal_lightning.io.wording import counted

MANIFEST = "manifest.json"
FORMAT = 1
"""A change that older versions cannot read increments it."""


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """Return the manifest of a folder; None if it has none, because another program made the features.

    Raises:
        DataError: it is damaged, or of a newer version.
    """
    file = folder / MANIFEST
    if not file.is_file():
        return None
    try:
        values = read_json(file)
        found = values["format"]
        shards = [(str(name), int(rows)) for name, rows in values["shards"].items()]
        finished = bool(values["finished"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise DataError(
            f"cannot read '{file}': run embed again into another folder, or delete the file to use the features as "
            "they are"
        ) from None
    if found != FORMAT:
        raise DataError(f"expected '{file}' to have format {FORMAT}, got {found}: update msal_lightning")
    return {**values, "shards": dict(shards), "finished": finished}


def write_text(manifest: dict[str, Any]) -> str:
    """Return a manifest as the text of its file."""
    return json.dumps(manifest, indent=1, ensure_ascii=False) + "\n"


def refuse_unfinished(folder: Path) -> None:
    """Refuse a folder that ``embed`` has begun and not finished.

    Raises:
        DataError: it is not finished.
    """
    manifest = read_manifest(folder)
    if manifest is not None and not manifest["finished"]:
        done = sum((folder / name).exists() for name in manifest["shards"])
        number = counted(len(manifest["shards"]), "shard")
        raise DataError(f"embed was interrupted after {done} of {number} in '{folder}': run it again")


def check_files(folder: Path, found: Mapping[str, int]) -> None:
    """Check that a folder with a manifest has the features that ``embed`` wrote.

    Args:
        folder: the folder.
        found: number of rows of each of its files, by name.

    Raises:
        DataError: a file is missing, another one, or too many.
    """
    manifest = read_manifest(folder)
    if manifest is None:
        return
    wanted = {name: rows for name, rows in manifest["shards"].items() if rows}
    for name in sorted(wanted.keys() | found.keys()):
        if found.get(name) != wanted.get(name):
            raise DataError(
                f"expected {counted(wanted.get(name, 0), 'row')} of features in '{folder / name}', as manifest.json "
                f"says, got {found.get(name, 0):,}: copy the folder again, or run embed again"
            )
