"""Corrected labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from msal_lightning.io.wording import counted
from msal_lightning.runs.amendments.base import Change

if TYPE_CHECKING:
    from msal_lightning.data.base import ActiveDataModule

_SHOWN = 3


@dataclass(frozen=True)
class Correct(Change):
    """Other labels for images that were labeled before. Later fits use them; earlier records stay as they are.

    Attributes:
        index: dataset-absolute indices.
        old: their labels before the change.
        new: their labels afterwards.
        path: paths of the image files; None for a dataset without image files.
    """

    index: list[int]
    old: list[int]
    new: list[int]
    path: list[str] | None = None

    def __post_init__(self) -> None:
        lengths = {len(column) for column in (self.index, self.old, self.new, self.path) if column is not None}
        if len(lengths) > 1 or min([*self.index, *self.new], default=0) < 0:
            raise ValueError("columns of different lengths, or a negative number")

    def apply(self, data: "ActiveDataModule") -> None:
        """Set the new labels."""
        import torch  # imported here, because `status` reads amendments without torch

        data.split.relabel(torch.tensor(self.index, dtype=torch.int64), torch.tensor(self.new, dtype=torch.int64))

    def present(self, labels: dict[int, int]) -> dict[int, int]:  # noqa: D102
        new = zip(self.index, self.new, strict=True)
        return labels | {index: label for index, label in new if index in labels}

    def describe(self, class_names: Sequence[str]) -> str:  # noqa: D102
        def name(label: int) -> str:
            return class_names[label] if label < len(class_names) else str(label)

        where = self.path or [str(index) for index in self.index]
        rows = zip(where, self.old, self.new, strict=True)
        some = [f"{path} {name(old)} → {name(new)}" for path, old, new in list(rows)[:_SHOWN]]
        more = f" and {len(self.index) - _SHOWN} more" if len(self.index) > _SHOWN else ""
        return f"{counted(len(self.index), 'label')} corrected: {', '.join(some)}{more}"
