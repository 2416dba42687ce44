"""Write labels in one of the formats."""

from pathlib import Path

from msal_lightning.data.label_files import coco, csv_table, fiftyone, hugging_face, label_studio
from msal_lightning.data.label_files.label_set import LabelSet

_WRITERS = {
    "csv": csv_table.write,
    "coco": coco.write,
    "label-studio": label_studio.write,
    "fiftyone": fiftyone.write,
    "hf": hugging_face.write,
}
FORMATS = (*_WRITERS,)


def write_label_file(labels: LabelSet, out: Path, format: str) -> None:
    """Write labels atomically.

    Args:
        labels: the labels.
        out: the file; for ``hf`` a folder.
        format: one of :data:`FORMATS`.

    Raises:
        DataError: the format needs images that are missing.
        ConfigError: a library is missing.
        OSError: the file cannot be written.
    """
    _WRITERS[format](labels, out)
