"""A run once more with another model: the same labels in the same rounds, no query."""

from pathlib import Path

import torch
from torch import Tensor

from msal_lightning.data.base import ActiveDataModule
from msal_lightning.errors import UserError
from msal_lightning.runs import Purchase, read_records
from msal_lightning.selection import Selection


class Replay:
    """What a run bought, round by round. Pseudo-labels belong to the model that made them and are not replayed.

    Args:
        path: the run directory; an unfinished one is replayed as far as it came.

    Attributes:
        path: the same.
        label_counts: labels that each round trains on.

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

    def label_initial(self, data: ActiveDataModule) -> Tensor:
        """Label the initial set.

        Returns:
            Its indices.
        """
        initial = self._records[0].initial
        self._label(data, initial, 0)
        return torch.tensor(initial.index, dtype=torch.int64)

    def buy(self, data: ActiveDataModule, round: int) -> Selection:
        """Buy what was bought in a round.

        Returns:
            That, with the scores that it had.
        """
        bought = self._records[round].bought
        self._label(data, bought, round + 1)
        score = None if bought.score is None else torch.tensor(bought.score)
        return Selection(torch.tensor(bought.index, dtype=torch.int64), score)

    def _label(self, data: ActiveDataModule, purchase: Purchase, trained_from: int) -> None:
        try:
            labels = data.label(torch.tensor(purchase.index, dtype=torch.int64), trained_from).tolist()
        except ValueError:  # an index that this dataset does not have
            labels = None
        if labels != purchase.label:
            raise UserError(
                f"expected the dataset that '{self.path}' was made with, got other labels for the recorded images: set "
                "data to that dataset"
            )
