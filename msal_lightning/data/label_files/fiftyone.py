"""Labels as the JSON file of FiftyOne's ``FiftyOneImageClassificationDataset``.

[0] https://docs.voxel51.com/user_guide/import_datasets.html
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msal_lightning.data.label_files.label_set import LabelSet
from msal_lightning.data.label_files.label_table import Line
from msal_lightning.errors import DataError
from msal_lightning.io.atomic import write_atomically


def is_fiftyone(content: Any) -> bool:
    """Return whether a JSON file maps images to labels as FiftyOne does."""
    return isinstance(content, Mapping) and isinstance(content.get("labels"), Mapping)


def read(content: Mapping[str, Any], root: Path) -> list[Line]:
    """Return an entry for each image; FiftyOne names images by absolute paths, or below a folder without extensions.

    Args:
        content: the file.
        root: folder of the images.

    Raises:
        DataError: an image has several labels.
    """
    classes, folders = content.get("classes") or [], dict[Path, dict[str, list[str]]]()
    lines = []
    for number, (name, target) in enumerate(content["labels"].items(), 1):
        if isinstance(target, list):
            raise DataError(f"expected one label for the image '{name}', got {len(target)}: keep one of them")
        fields = target if isinstance(target, Mapping) else {"label": target}
        label, attributes = fields.get("label"), fields.get("attributes") or {}
        text = "" if label is None else str(classes[label] if isinstance(label, int) and classes else label)
        found = {"path": _with_extension(name, root, folders), "label": text}
        lines.append(Line(number, {**found, "split": str(attributes.get("split", ""))}, unit="image"))
    return lines


def write(labels: LabelSet, file: Path) -> None:
    """Write absolute paths, which need no ``data_path`` in FiftyOne; the other fields become attributes of the labels.

    Raises:
        DataError: an image is missing.
    """
    targets = {}
    for row, path in labels.files():
        attributes = {"split": row.split, "round": row.round, "rank": row.rank, "score": row.score}
        attributes |= {"annotator": row.annotator} if row.annotator else {}
        known = {name: value for name, value in attributes.items() if value is not None}
        targets[str(path)] = {"label": row.label, "attributes": known}
    content = {"classes": [*labels.class_names], "labels": targets}
    write_atomically(file, json.dumps(content, ensure_ascii=False, indent=1))


def _with_extension(name: str, root: Path, folders: dict[Path, dict[str, list[str]]]) -> str:
    """Return the path of the only file with this name; the name itself if there is none, or several."""
    path = root / name
    if path.is_file():
        return name
    folder = path.parent
    if folder not in folders:
        folders[folder] = {}
        for entry in sorted(os.listdir(folder)) if folder.is_dir() else ():  # noqa: PTH208 - names alone
            folders[folder].setdefault(os.path.splitext(entry)[0], []).append(entry)  # noqa: PTH122 - as FiftyOne
    found = folders[folder].get(path.name, [])
    return str(Path(name).with_name(found[0])) if len(found) == 1 else name
