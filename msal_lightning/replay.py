"""A run once more with another model: the same labels in the same rounds, no query."""

from pathlib import Path

import torch
from torch import Tensor

from msal_lightning.data.base import ActiveDataModule
from msal_lightning.errors import UserError
from msal_lightning.restore import changed_images, know_classes
from msal_lightning.runs import Purchase, read_records
from msal_lightning.selection import Selection


class Replay:
    """What a run bought, round by round. Pseudo-labels belong to the model that made them and are not replayed.

    Args:
        path: the run directory; an unfinished one is replayed as far as it came.

    Attributes:
        path: the same.
        label_counts: labels paid for before each round.
        held_out: how many of them are tested on.

    Raises:
        UserError: it has no finished rounds, or one is damaged.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._records = read_records(Path(path))
        if not self._records:
            raise UserError(
                f"expected loop.replay to be a run directory with finished rounds, got '{path}' without any"
            )
        self.label_counts = [record.num_labeled for record in self._records]
        self._held_out = self._records[0].held_out or Purchase()
        self.held_out = len(self._held_out.index)

    def check_images(self, data: ActiveDataModule) -> str | None:
        """Compare training and test images with those of the run.

        Returns:
            What is different in the test images, which makes accuracies incomparable; None where nothing is.

        Raises:
            UserError: the training images are others.
        """
        first, folder = self._records[0], Path(self.path)
        if change := changed_images(data, folder, first, ("train",)):
            raise UserError(
                f"expected the images that '{self.path}' was made with, got others ({change}): set data to that dataset"
            )
        change = changed_images(data, folder, first, ("test",))
        return change and f"the test images are not those of '{self.path}' ({change}): accuracies cannot be compared"

    def label_initial(self, data: ActiveDataModule) -> Tensor:
        """Label the initial set, and what is held out of it.

        Returns:
            Its indices, those that were held out first.
        """
        initial = self._records[0].initial
        if self.held_out:
            self._label(data, self._held_out, 0, 0)
        self._label(data, initial, 0, 0)
        return torch.tensor([*self._held_out.index, *initial.index], dtype=torch.int64)

    def buy(self, data: ActiveDataModule, round: int) -> Selection:
        """Buy what was bought in a round.

        Returns:
            That, with the scores that it had.
        """
        bought = self._records[round].bought
        self._label(data, bought, round, round + 1)
        skipped = self._records[round].skipped
        if skipped is not None:
            data.skip(torch.tensor(skipped.index, dtype=torch.int64))
        score = None if bought.score is None else torch.tensor(bought.score)
        return Selection(torch.tensor(bought.index, dtype=torch.int64), score)

    def _label(self, data: ActiveDataModule, purchase: Purchase, round: int, trained_from: int) -> None:
        index, labels = (torch.tensor(column, dtype=torch.int64) for column in (purchase.index, purchase.label))
        record = self._records[round]
        try:
            if record.skipped is not None:  # a person was asked: what the data knows may be none of it
                names = record.class_names or data.class_names
                know_classes(data, names[: max([len(data.class_names), *(label + 1 for label in purchase.label)])])
                data.restore(index, labels, trained_from)
                same = True
            else:
                same = torch.equal(data.label(index, trained_from), labels)
            data.check_paths(index, purchase.path)
        except ValueError:  # an index that this dataset does not have
            same = False
        if not same:
            raise UserError(
                f"expected the dataset that '{self.path}' was made with, got other labels for the recorded images: set "
                "data to that dataset"
            )
