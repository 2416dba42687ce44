"""Labels as a CSV file with the columns path (or index) and label, and optionally split."""

from pathlib import Path

from msal_lightning.data.label_files.label_set import LabelSet
from msal_lightning.data.label_files.label_table import CLASS_NAME, Line, read_table, refuse_class_numbers
from msal_lightning.io.atomic import write_atomically
from msal_lightning.io.csv_cells import table

COLUMNS = ("path", "label", "split", "round", "rank", "annotator", "score", "index")


def read(file: Path, where: str) -> list[Line]:
    """Read the lines of a file; they have a path, or an index.

    Args:
        file: the file.
        where: the file in messages.

    Raises:
        DataError: the file is damaged, lacks a column, or has class numbers beside a column of class names.
    """
    columns, lines = read_table(file, ("path", "label"), where, instead={"path": "index"})
    if CLASS_NAME in columns:  # a ledger
        refuse_class_numbers(
            (line.fields["label"] for line in lines), [line.fields[CLASS_NAME] for line in lines], where
        )
    return lines


def write(labels: LabelSet, file: Path) -> None:
    """Write all labels, and the images that annotators skipped."""
    columns = COLUMNS if any(row.path is not None for row in labels.rows) else COLUMNS[1:]
    write_atomically(file, table([vars(row) for row in labels.rows], columns))
