"""The oracle of a person who fills in CSV files."""

from typing import TYPE_CHECKING

from msal_lightning.errors import AnnotationError
from msal_lightning.oracles.base import Annotation, AwaitingLabels, LabelingBatch, Oracle
from msal_lightning.oracles.csv_files.contact_sheet import write_sheet
from msal_lightning.oracles.csv_files.csv_file import read_answers, write_csv

if TYPE_CHECKING:
    from msal_lightning.data.base import ActiveDataModule

_LOOKED_AT = 100  # images of the pool: one may be gone, not all


class Files(Oracle):
    """Writes each batch as a CSV file with a blank column label and as a contact sheet, in the run's folder queries.

    Args:
        allow_new_classes: labels may name new classes, which the next model then has.
    """

    def __init__(self, allow_new_classes: bool = False) -> None:
        self.allow_new_classes = allow_new_classes
        self._data: ActiveDataModule | None = None

    def connect(self, data: "ActiveDataModule") -> None:  # noqa: D102
        files = data.locations(data.pool[:_LOOKED_AT])
        if files is None:
            raise AnnotationError(
                f"oracle Files shows image files to a person, {data.name} has none: set data to ImageFolder"
            )
        if files and not any(file.exists() for file in files):
            raise AnnotationError(
                f"expected the image '{files[0]}', found neither it nor the next {len(files) - 1}: set data.image_root "
                "to the folder of the images"
            )
        self._data = data

    def ask(self, batch: LabelingBatch) -> list[Annotation]:
        """Write the files if they are missing, and read the labels.

        Raises:
            AwaitingLabels: labels are blank.
            UserError: lines of the file are wrong.
        """
        file = batch.folder / f"{batch.name}.csv"
        sheet = file.with_suffix(".html")
        if not sheet.exists():
            read_as = (self._data.decoding, self._data.describe()) if self._data else (None, "")
            write_sheet(batch, sheet, self.allow_new_classes, *read_as)
        if not file.exists():  # never overwritten, because a person may have filled it in
            write_csv(batch, file)
        answers = read_answers(batch, file, self.allow_new_classes)
        given = [answer for answer in answers if answer is not None]
        if missing := len(answers) - len(given):
            how = f"fill in the column label, or open {sheet.name} beside it; then run the same command again"
            raise AwaitingLabels(missing, str(file), how)
        return given
