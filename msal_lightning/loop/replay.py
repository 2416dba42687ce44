"""The labels of another run, round by round, for another model: no query."""

from dataclasses import replace
from pathlib import Path

import torch

from msal_lightning.data.base import ActiveDataModule
from msal_lightning.errors import RunError
from msal_lightning.loop.fitting import Fitted
from msal_lightning.loop.label_sources import InitialSet, LabelSource
from msal_lightning.query.callback import Query
from msal_lightning.query.shortlist import Selection
from msal_lightning.runs.amendments import read_amendments
from msal_lightning.runs.changed_images import changed_images
from msal_lightning.runs.moves import know_classes
from msal_lightning.runs.records import LabeledImages, RoundRecord, read_records


class ReplayedLabels(LabelSource):
    """Gives each round the labels of the same round of another run, with all corrections.

    Pseudo-labels belong to the model that made them and are not replayed.

    Args:
        path: run directory; an unfinished run is replayed up to its last finished round.
        data: owns the pool.

    Raises:
        RunError: the run has no finished rounds, or a record is damaged.
    """

    queries = False

    def __init__(self, path: str, data: ActiveDataModule) -> None:
        self.path = path
        self._records = read_records(Path(path))
        if not self._records:
            raise RunError(f"expected loop.replay to be a run directory with finished rounds, got '{path}' without any")
        self._amendments = amendments = read_amendments(Path(path))
        if amendments.change_images:
            raise RunError(
                f"expected a run whose images stayed the same in loop.replay, got '{path}', where images were added or "
                "removed: begin another run, with its labels as data.csv"
            )
        if amendments.reclassed():
            raise RunError(
                f"expected a run whose classes stayed the same in loop.replay, got '{path}', where some were merged, "
                "split or renamed: begin another run, with its labels as data.csv"
            )
        self._held_out = self._records[0].held_out or LabeledImages()
        counts = [record.num_labeled for record in self._records]
        super().__init__(data, counts, len(self._held_out.index), f"the labels queried in {path}")

    @property
    def names_classes(self) -> bool:  # noqa: D102
        return self.data.num_classes < 2

    def check(self) -> None:  # noqa: D102
        if not len(self.data.test.label) and not self.held_out:
            raise RunError(
                f"expected a test set, got none, and the run in loop.replay '{self.path}' held no labels out: "
                "set data.test_root, or give data.csv a column split with train and test"
            )

    def check_images(self) -> str | None:
        """Compare training and test images with those of the run.

        Returns:
            A difference in the test images, which makes accuracies incomparable; None if there is none.

        Raises:
            RunError: the training images differ.
        """
        first, folder = self._records[0], Path(self.path)
        if change := changed_images(self.data, folder, first, ("train",)):
            raise RunError(
                f"expected the images of the run '{self.path}', got others ({change}): set data to the dataset of that "
                "run"
            )
        change = changed_images(self.data, folder, first, ("test",))
        return change and f"the test images differ from those of '{self.path}' ({change}): do not compare accuracies"

    def initial_set(self) -> InitialSet:  # noqa: D102
        initial = self._records[0].initial
        if self.held_out:
            self._label(self._held_out, 0, 0)
        self._label(initial, 0, 0)
        index = torch.tensor([*self._held_out.index, *initial.index], dtype=torch.int64)
        return self.split_initial(index, num_tested=len(self._held_out.index))

    def to_select(self, round: int) -> int:  # noqa: D102
        return 0

    def selected(self, query: Query) -> Selection:
        """Return the images that the other run queried in this round."""
        record = self._records[query.round]
        if query.round == len(self._records) - 1:
            return query.selection
        self._label(record.queried, query.round, query.round + 1)
        if record.skipped is not None:
            self.data.split.skip(record.skipped.tensor())
        score = None if record.queried.score is None else torch.tensor(record.queried.score)
        return Selection(record.queried.tensors()[0], score)

    def settle(self, draft: RoundRecord, selection: Selection, query: Query, fitted: Fitted) -> RoundRecord:  # noqa: D102
        record = self.with_labels(draft, selection, query)
        if self._records[draft.round].skipped is None:
            return record
        return replace(record, class_names=[*self.data.class_names])  # annotators may have named new ones

    def _label(self, labeled: LabeledImages, round: int, trained_from: int) -> None:
        index, labels = labeled.tensors()
        data, record = self.data, self._records[round]
        try:
            if record.skipped is not None:  # labels from annotators: the data may know none of them
                names = record.class_names or data.class_names
                know_classes(data, names[: max([len(data.class_names), *(label + 1 for label in labeled.label)])])
                data.split.restore(index, labels, trained_from)
                same = True
            else:
                same = torch.equal(data.label(index, trained_from), labels)
            data.check_paths(index, labeled.path)
            present = self._amendments.present_labels(labeled, round)
            data.split.relabel(index, torch.tensor(present, dtype=torch.int64))
        except ValueError:  # an index beyond this dataset
            same = False
        if not same:
            raise RunError(
                f"expected the dataset of the run '{self.path}', got other labels for the recorded images: set data to "
                "the dataset of that run"
            )
