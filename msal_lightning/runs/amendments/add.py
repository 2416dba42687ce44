"""More images for a run."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from msal_lightning.io.wording import counted
from msal_lightning.runs.amendments.base import Change

if TYPE_CHECKING:
    from msal_lightning.data.base import ActiveDataModule

_FIELDS = (7, 8)  # of a Print; earlier versions kept no group


@dataclass(frozen=True)
class Add(Change):
    """New images for the pool, with the next indices.

    Attributes:
        old: number of training images before the change, and so the index of the first new one.
        new: number of training images afterwards.
        images: the new images as ``images.jsonl.gz`` has the others, see
            :class:`~msal_lightning.data.fingerprint.Print`.
        tested: number of the new images that belong to groups of ``data.group`` that are tested on; no query selects
            them.
    """

    old: int
    new: int
    images: list[list[str | int]]
    tested: int = field(default=0, kw_only=True)

    def __post_init__(self) -> None:
        if len(self.images) != self.new - self.old or any(len(image) not in _FIELDS for image in self.images):
            raise ValueError("another number of images, or an image without all fields")

    def apply(self, data: "ActiveDataModule") -> None:
        """Put the images into the pool."""
        import torch  # imported here, because `status` reads amendments without torch

        data.split.add(torch.arange(self.old, self.new))

    @property
    def pool_growth(self) -> int:
        """Number of images that a query may select."""
        return self.new - self.old - self.tested

    @property
    def paths(self) -> list[str]:
        """Path of each image below data.root."""
        return [str(image[1]) for image in self.images]

    def describe(self, class_names: Sequence[str]) -> str:  # noqa: D102
        folder = os.path.commonpath([os.path.dirname(path) for path in self.paths])  # noqa: PTH120 - text of any system
        where = f" from '{folder}'" if folder else ""
        return f"{counted(self.new - self.old, 'image')} added{where}"
