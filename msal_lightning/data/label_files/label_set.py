"""Labels on their way into a file."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from msal_lightning.data.places import REASONS
from msal_lightning.errors import DataError


@dataclass(frozen=True)
class LabelRow:
    """The label of one image.

    Attributes:
        index: dataset-absolute.
        path: path of the image below the folder of all images; None if the data has no image files.
        label: name of the class, or ``skip`` or ``unsure``.
        split: ``test`` for a held-out label, else ``train``.
        round: first round whose model trains on the label; None if it is skipped.
        rank: 0 = queried first; None if it is skipped.
        annotator: who gave the label; blank if unknown.
        score: score of the query strategy; None if it has no score.
    """

    index: int
    path: str | None
    label: str
    split: str = "train"
    round: int | None = None
    rank: int | None = None
    annotator: str = ""
    score: float | None = None


@dataclass(frozen=True)
class LabelSet:
    """Labels of images, in the order in which they are written.

    Attributes:
        class_names: C names in the order of the class numbers.
        rows: one per image.
        root: folder in which the paths begin.
    """

    class_names: tuple[str, ...]
    rows: tuple[LabelRow, ...]
    root: Path

    def files(self) -> "Iterable[tuple[LabelRow, Path]]":
        """Return each image with a class, and its absolute path.

        Raises:
            DataError: the data has no image files, or one of them is missing.
        """
        for row in self.rows:
            if row.label in REASONS:
                continue
            if row.path is None:
                raise DataError("expected labels of image files for this format, got rows without paths: use csv")
            file = self.root.absolute() / row.path
            if not file.is_file():
                raise DataError(
                    f"expected the image '{file}' for this format, found none: set --data.root to the folder of the "
                    "images, or use csv"
                )
            yield row, file
