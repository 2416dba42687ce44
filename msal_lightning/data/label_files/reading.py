"""Read a file of labels in any of the formats; its content tells which one it has."""

from pathlib import Path

from msal_lightning.data.label_files import coco, csv_table, fiftyone, hugging_face, label_studio
from msal_lightning.data.label_files.label_table import Line
from msal_lightning.errors import DataError
from msal_lightning.io.json_files import read_json

_KINDS = "a CSV file, JSON of COCO, Label Studio or FiftyOne, or a folder of Hugging Face's save_to_disk"


def read_label_file(file: Path, where: str, root: Path) -> list[Line]:
    """Return the entries of a file, with the fields path (or index), label and split.

    Args:
        file: a CSV or JSON file, or a folder.
        where: the file in messages.
        root: folder of the images.

    Raises:
        DataError: the file cannot be read, or has none of the formats.
    """
    if file.is_dir() and hugging_face.is_saved_dataset(file):
        return hugging_face.read(file, where)
    if file.suffix.lower() != ".json":
        return csv_table.read(file, where)
    try:
        content = read_json(file)
        if coco.is_coco(content):
            return coco.read(content)
        if fiftyone.is_fiftyone(content):
            return fiftyone.read(content, root)
        if label_studio.is_label_studio(content):
            return label_studio.read(content)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        what = f"no key {error}" if isinstance(error, KeyError) else str(error)
        raise DataError(f"cannot read {where} ({what:.160}): set it to {_KINDS}") from None
    raise DataError(f"expected {where} to be {_KINDS}, got JSON of another kind: convert it")
