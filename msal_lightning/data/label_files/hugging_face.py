"""Labels as a dataset of Hugging Face on disk; the library ``datasets`` is an extra."""

import shutil
from pathlib import Path
from typing import Any

from msal_lightning.data.label_files.label_set import LabelRow, LabelSet
from msal_lightning.data.label_files.label_table import Line
from msal_lightning.errors import ConfigError, DataError

_MARKS = ("dataset_dict.json", "dataset_info.json")


def is_saved_dataset(folder: Path) -> bool:
    """Return whether ``save_to_disk`` wrote a folder."""
    return any((folder / name).is_file() for name in _MARKS)


def library() -> Any:
    """Import the library.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import datasets
    except ModuleNotFoundError:
        datasets = None
    if not hasattr(datasets, "load_from_disk"):  # also a folder of this name in the current one
        raise ConfigError(
            "expected the library datasets, which reads and writes datasets of Hugging Face, found none: "
            "`python -m pip install 'msal_lightning[huggingface]'`"
        )
    return datasets


def read(folder: Path, where: str) -> list[Line]:
    """Return an entry for each row, which has the columns path and label; of several splits, train and test.

    Args:
        folder: the folder that ``save_to_disk`` wrote.
        where: the folder in messages.

    Raises:
        DataError: the folder is damaged, or lacks a column.
    """
    try:
        found = library().load_from_disk(str(folder))
    except ConfigError:
        raise
    except Exception as error:  # of its many readers
        raise DataError(f"cannot read {where} ({' '.join(str(error).split()):.160}): write it again") from None
    parts = (
        {name: found[name] for name in ("train", "test") if name in found} if isinstance(found, dict) else {"": found}
    )
    lines = list[Line]()
    for split, part in parts.items():
        if not {"path", "label"} <= {*part.column_names}:
            raise DataError(
                f"expected the columns path and label in {where}, got {', '.join(part.column_names)}: add them"
            )
        names = getattr(part.features["label"], "names", None)
        for path, label in zip(part["path"], part["label"], strict=True):
            text = "" if label in (None, -1) else str(names[label] if names else label)
            lines.append(Line(len(lines) + 1, {"path": str(path), "label": text, "split": split}, unit="row"))
    return lines


def write(labels: LabelSet, folder: Path) -> None:
    """Write the splits train and test; the column image refers to the image files, which are not copied.

    Args:
        labels: labels of image files.
        folder: the new folder.

    Raises:
        DataError: an image is missing.
        ConfigError: the library is missing.
    """
    hugging_face = library()
    found = [*labels.files()]
    parts = {split: [pair for pair in found if pair[0].split == split] for split in ("train", "test")}
    saved = {split: _part(hugging_face, labels, pairs) for split, pairs in parts.items() if pairs}
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    hugging_face.DatasetDict(saved).save_to_disk(str(part))
    part.replace(folder)


def _part(hugging_face: Any, labels: LabelSet, pairs: list[tuple[LabelRow, Path]]) -> Any:
    value = hugging_face.Value
    features = {
        "image": hugging_face.Image(),
        "label": hugging_face.ClassLabel(names=[*labels.class_names]),
        "path": value("string"),
        "round": value("int32"),
        "rank": value("int32"),
        "annotator": value("string"),
        "score": value("float32"),
    }
    columns = {name: [getattr(row, name) for row, _ in pairs] for name in features if name != "image"}
    columns["image"] = [str(file) for _, file in pairs]
    return hugging_face.Dataset.from_dict(columns, features=hugging_face.Features(features))
