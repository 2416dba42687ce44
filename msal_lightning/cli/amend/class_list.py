"""The list of a class that is to be split: a CSV file with a blank column label, and a page that fills it in."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from msal_lightning.cli.amend.split_class import Members, members_of
from msal_lightning.config.command_parser import PROGRAM
from msal_lightning.errors import ConfigError
from msal_lightning.io.atomic import write_atomically
from msal_lightning.io.csv_cells import table
from msal_lightning.io.terminal import say
from msal_lightning.io.wording import counted
from msal_lightning.oracles.base import LabelingBatch, LabelingTask
from msal_lightning.oracles.csv_files.contact_sheet import SheetTable, write_sheet
from msal_lightning.runs.reading import Run

_COLUMNS = ("path", "split", "label")


def list_class(run: Run, name: str, out: Path, changes: Sequence[str], trusted: Sequence[str]) -> None:
    """Write the images of a class into a CSV file, and beside it a page where a person labels them with new classes.

    Args:
        run: with a finished round.
        name: the class.
        out: the CSV file.
        changes: options of ``fit`` about the data.
        trusted: classes that a stranger's configuration may name.

    Raises:
        UserError: a file exists or cannot be written, there is no such class, or the data cannot be read.
    """
    page = out.with_suffix(".html")
    if taken := [path for path in (out, page) if path.exists() or path.is_symlink()]:
        raise ConfigError(f"'{taken[0]}' exists already: delete it, or set --list to another file")
    found = members_of(run, name, changes, trusted)
    rows = [{"path": path, "split": part, "label": ""} for part in ("train", "test") for path in vars(found)[part]]
    files = _files(found)
    try:
        if files is not None:
            _write_page(page, name, rows, files, found)
        write_atomically(out, table(rows, _COLUMNS))
    except OSError as error:
        raise ConfigError(f"cannot write '{out}' ({error.strerror or error}): set --list to a file of yours") from None
    how = f"open {page}, type the new classes, and save the CSV file" if files else "fill in the column label"
    say(f"{counted(len(rows), 'image')} of '{name}' in {out}: {how}; then: {PROGRAM} classes {run.folder} split "
        f"'{name}' {out.name if files else out}")  # fmt: skip


def _files(found: Members) -> list[Path] | None:
    """Return the file of each image; None for data without image files."""
    train, tested = found.data.locations(torch.tensor([*found.train.values()])), found.data.image_files("test")
    if train is None or (tested is None and found.test):
        return None
    return [*train, *(Path((tested or [])[row][1]) for row in found.test.values())]


def _write_page(page: Path, name: str, rows: list[dict[str, Any]], files: list[Path], found: Members) -> None:
    items = tuple(
        LabelingTask(rank, row["path"], file, None, None, None, rank)
        for rank, (row, file) in enumerate(zip(rows, files, strict=True))
    )
    write_sheet(
        LabelingBatch(page.stem, items, (name,), page.parent),
        page,
        allow_new_classes=True,
        decoding=found.data.decoding,
        about=found.data.describe(),
        table=SheetTable(_COLUMNS, rows, f"classes RUN split '{name}'"),
    )
