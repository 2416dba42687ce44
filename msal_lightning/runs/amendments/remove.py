"""Images that leave a run."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from msal_lightning.io.names import name_some
from msal_lightning.io.wording import counted
from msal_lightning.runs.amendments.base import Change

if TYPE_CHECKING:
    from msal_lightning.data.base import ActiveDataModule


@dataclass(frozen=True)
class Remove(Change):
    """Images that are not trained on, not tested on and not queried any more. Their files may be deleted.

    Attributes:
        old: number of training images before the change, without those removed earlier.
        new: this number afterwards.
        index: dataset-absolute indices; they stay free.
        path: paths of the image files.
        labeled: number of these images that had a label.
        pooled: number of them that a query could select; None in files of older versions.
    """

    old: int
    new: int
    index: list[int]
    path: list[str]
    labeled: int
    pooled: int | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if len(self.index) != len(self.path) or min(self.index, default=0) < 0:
            raise ValueError("columns of different lengths, or a negative index")

    @property
    def pool_growth(self) -> int:
        """Minus the number of images that a query could select."""
        return self.labeled - len(self.index) if self.pooled is None else -self.pooled

    def apply(self, data: "ActiveDataModule") -> None:
        """Move the images out of their places."""
        import torch  # imported here, because `status` reads amendments without torch

        data.split.remove(torch.tensor(self.index, dtype=torch.int64))

    def describe(self, class_names: Sequence[str]) -> str:  # noqa: D102
        labeled = f", {self.labeled:,} of them labeled" if self.labeled else ""
        return f"{counted(len(self.index), 'image')} removed{labeled}: {name_some(self.path)}"
