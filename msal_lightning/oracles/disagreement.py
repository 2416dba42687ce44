"""Report images on which annotators disagree: a few on the screen, all in a file."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from msal_lightning.io.atomic import write_atomically
from msal_lightning.io.csv_cells import guard, guard_path
from msal_lightning.oracles.base import Annotation

_SHOWN = 5


def words(answer: Annotation | None) -> str:
    """Return a class, ``skip`` or ``unsure``; ``no majority`` if votes are missing."""
    return "no majority" if answer is None else answer.label or answer.reason


def say_disagreements(file: Path, found: Mapping[str, Sequence[str]]) -> str:
    """Write the images with all their labels; the label that counts comes last.

    Args:
        file: a CSV file without a header; each line has a path and labels. Earlier lines stay.
        found: labels of each path.

    Returns:
        A line for each of the first images, and the name of the file.

    Raises:
        OSError: the file cannot be written.
    """
    rows = dict[str, list[str]]()
    if file.exists():
        with file.open(encoding="utf-8", newline="") as text:
            rows = {row[0]: row[1:] for row in csv.reader(text) if row}
    for path, labels in found.items():
        former = rows.get(guard_path(path), [])
        new = [*map(guard, labels)]
        rows[guard_path(path)] = former + new[1:] if former[-1:] == new[:1] else new
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerows([[path, *labels] for path, labels in rows.items()])
    write_atomically(file, out.getvalue())
    shown = [f"  '{path}': {', then '.join(labels)}" for path, labels in list(found.items())[:_SHOWN]]
    more = [f"  and {len(found) - _SHOWN} more"] if len(found) > _SHOWN else []
    return "\n".join([*shown, *more, f"  all are in {file}"])
