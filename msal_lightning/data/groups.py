"""Groups of images that belong together: those of a patient, of a camera's site, of a burst."""

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from msal_lightning.errors import DataError
from msal_lightning.io.names import name_some
from msal_lightning.io.terminal import say
from msal_lightning.io.wording import counted


def group_names(
    group: str, paths: Sequence[str] | None, cells: Sequence[str | None] | None, columns: str = ""
) -> list[str]:
    """Return the name of each image's group.

    Args:
        group: ``data.group``: a column of a table, or a regular expression.
        paths: path of each image below its root; None if unknown.
        cells: text of each image in the column ``group``; None where the image is not in the table. All are None if
            there is no such column.
        columns: the columns that could be meant, for messages.

    Raises:
        DataError: there is neither a column nor a match, for at least one image.
    """
    if cells is not None and any(cell is not None for cell in cells):
        found, how = [cell or None for cell in cells], f"the column {group}"
    else:
        found, how = _match(group, paths, columns), f"the regular expression {group}"
    if missing := [row for row, name in enumerate(found) if not name]:
        shown = name_some([paths[row] if paths else f"row {row}" for row in missing])
        raise DataError(
            f"expected data.group to give each image a group, got none by {how} for {counted(len(missing), 'image')} "
            f"({shown}): fill the column, or correct the expression"
        )
    return [name or "" for name in found]


def _match(group: str, paths: Sequence[str] | None, columns: str) -> list[str | None]:
    try:
        pattern = re.compile(group)
    except re.error:
        pattern = None
    if pattern is None or pattern.groups != 1 or paths is None:
        there = f" ({columns})" if columns else ""
        raise DataError(
            f"expected data.group to be a column of the table of labels{there}, or a regular expression on paths with "
            f"one part in parentheses, such as '(site[0-9]+)/', got '{group}': correct it"
        )
    matches = (pattern.search(path) for path in paths)
    return [match[1] if match else None for match in matches]


def number_groups(names: Sequence[str]) -> NDArray[np.int64]:
    """Number groups in the order in which they appear, so that more images do not change the numbers: (N,) int64."""
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(name, len(numbers)) for name in names], dtype=np.int64)


def shared_groups(train: Sequence[str], test: Sequence[str]) -> dict[str, int]:
    """Return the groups with images in both the training split and the test set, with their number of test images."""
    both = {*train} & {*test}
    return {name: count for name, count in sorted(Counter(test).items()) if name in both}


def say_shared_groups(train: Sequence[str], test: Sequence[str]) -> None:
    """Name the groups that a given test set shares with the training split."""
    if shared := shared_groups(train, test):
        say(
            f"{counted(len(shared), 'group')} of data.group {'has' if len(shared) == 1 else 'have'} images in both the "
            f"training split and the test set ({name_some([*shared])}): {sum(shared.values()):,} of "
            f"{counted(len(test), 'test image')} belong to them, so the accuracy on new groups is probably lower"
        )
