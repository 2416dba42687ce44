"""Rows of data without image files of their own that leave a run."""

from collections.abc import Sequence
from dataclasses import dataclass

from msal_lightning.io.names import name_some
from msal_lightning.io.wording import counted
from msal_lightning.runs.amendments.remove import Remove


@dataclass(frozen=True)
class RemoveRows(Remove):
    """Rows of features, or images in memory, that leave a run; they stay in the files of the data.

    Attributes:
        path: name of each row in the ledger: the path of its image, or its index where the data has no paths.
    """

    def describe(self, class_names: Sequence[str]) -> str:  # noqa: D102
        labeled = f", {self.labeled:,} of them labeled" if self.labeled else ""
        return f"{counted(len(self.index), 'row')} removed{labeled}: {name_some(self.path)}"
