"""More rows of features for a run."""

from collections.abc import Sequence
from dataclasses import dataclass

from msal_lightning.io.wording import counted
from msal_lightning.runs.amendments.add import Add


@dataclass(frozen=True)
class AddRows(Add):
    """New rows for the pool, with the next indices: those of a folder of features.

    Attributes:
        old: number of training rows before the change, and so the index of the first new one.
        new: number of training rows afterwards.
        images: the new files of features, as ``images.jsonl.gz`` has the others.
        folder: the folder, below data.root.
    """

    folder: str

    def __post_init__(self) -> None:
        if not self.images or self.new <= self.old:
            raise ValueError("no file or no rows")

    def describe(self, class_names: Sequence[str]) -> str:  # noqa: D102
        return f"{counted(self.new - self.old, 'row')} added from '{self.folder}'"
