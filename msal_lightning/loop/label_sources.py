"""Sources of a round's labels: the data itself, another run, or annotators."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from msal_lightning.data.base import ActiveDataModule
from msal_lightning.errors import AnnotationError
from msal_lightning.loop.checks import check_test_set
from msal_lightning.loop.fitting import Fitted
from msal_lightning.loop.initial_order import InitialOrder
from msal_lightning.oracles.tasks import shortest
from msal_lightning.query.callback import Query, label_selection
from msal_lightning.query.shortlist import Selection
from msal_lightning.runs.records import LabeledImages, PseudoLabels, RoundRecord, Skipped, Votes


@dataclass(frozen=True)
class InitialSet:
    """The labels that a run starts with.

    Attributes:
        train: labels that the first model trains on.
        held_out: labels that every model is tested on; None if the data has a test set.
        skipped: images that annotators skipped; None without annotators.
        votes: what named annotators said; None if nobody is named.
    """

    train: LabeledImages = field(default_factory=LabeledImages)
    held_out: LabeledImages | None = None
    skipped: Skipped | None = None
    votes: Votes | None = None


class LabelSource(ABC):
    """Provides the labels of the initial set and of each round. A service or a stream of images would be a sibling.

    Args:
        data: owns the pool.
        label_counts: number of labels before each round.
        held_out: labels of the initial set to test on.
        title: how images are selected, for the first line of the run.

    Attributes:
        queries: whether the strategy selects images.
        keeps_model: whether the model of a round must be saved before its labels are there.
    """

    keeps_model = False
    queries = True

    def __init__(self, data: ActiveDataModule, label_counts: Sequence[int], held_out: int, title: str) -> None:
        self.data = data
        self.label_counts = [*label_counts]
        self.held_out = held_out
        self.title = title

    @abstractmethod
    def check(self) -> None:
        """Check, before anything is labeled, that the data can be trained and tested on.

        Raises:
            UserError: labels or a test set are missing.
        """

    def check_images(self) -> str | None:
        """Check, at the start of a run, that the labels belong to these images.

        Returns:
            A difference that the user should know about; None if there is none.

        Raises:
            UserError: the labels belong to other images.
        """
        return None

    @abstractmethod
    def initial_set(self) -> InitialSet:
        """Label the initial set.

        Raises:
            AwaitingLabels: some labels are missing.
        """

    @property
    def names_classes(self) -> bool:
        """Whether the classes are still unknown, so that the labels must name them."""
        return False

    def to_label(self, round: int) -> int:
        """Return the number of images that the query of a round selects; 0 in the last round."""
        is_last = round == len(self.label_counts) - 1
        given = len(self.data.labeled) + len(self.data.held_out) + self.data.split.num_removed_labels
        return 0 if is_last else self.label_counts[round + 1] - given

    def unanswered(self, round: int) -> RoundRecord | None:
        """Return the draft of a round whose query is made but not fully labeled; None for any other round."""
        return None

    def receive(self, selection: Selection, data: ActiveDataModule) -> None:
        """Accept the query's selection at the end of the pool pass, on every process."""

    def selected(self, query: Query) -> Selection:
        """Return the images to label after a round: the selection of its query."""
        return query.selection

    @abstractmethod
    def settle(self, draft: RoundRecord, selection: Selection, query: Query, fitted: Fitted) -> RoundRecord:
        """Complete the record of a round with its labels.

        Args:
            draft: the record without labels.
            selection: see :meth:`selected`.
            query: the round's query.
            fitted: the round's model.

        Raises:
            AwaitingLabels: some labels are missing.
        """

    def resume(self, draft: RoundRecord) -> RoundRecord:
        """Complete the record of a round that was :meth:`unanswered`.

        Raises:
            AwaitingLabels: some labels are still missing.
        """
        raise AssertionError(f"{type(self).__name__} never waits for labels")

    # ---------------------------------------------------------------- helpers of subclasses

    def split_initial(self, index: Tensor, skipped: Skipped | None = None, num_tested: int | None = None) -> InitialSet:
        """Hold out the first images of a labeled initial set, and train on the rest.

        Args:
            index: (n,) int64, images to test on first.
            skipped: images without a label.
            num_tested: number of images to hold out; by default ``loop.held_out``, or with groups the images that only
                test, because a skipped one has no replacement in its part.
        """
        test_only = self.data.test_only
        if num_tested is None:
            num_tested = self.held_out if test_only is None else int(test_only[index].sum())
        if len(index) <= self.held_out:
            raise AnnotationError(
                f"expected more labels in the initial set than loop.held_out ({self.held_out}), got {len(index)}, and "
                "no image is left to label: add images, and start anew with --overwrite"
            )
        held_out, train = index[:num_tested], index[num_tested:]
        self.data.split.hold_out(held_out)
        tested = labels_of(self.data, held_out) if self.held_out else None
        return InitialSet(labels_of(self.data, train), tested, skipped)

    def with_labels(self, draft: RoundRecord, selection: Selection, query: Query) -> RoundRecord:
        """Return the record completed with labels from the data module."""
        counts = torch.bincount(self.data.labels[selection.index], minlength=self.data.num_classes)
        return replace(
            draft,
            queried=labels_of(self.data, selection.index, selection.score),
            class_counts=counts.tolist(),
            pseudo_labels=pseudo_labels_of(query),
        )


class DataLabels(LabelSource):
    """The labels that came with the data; they are known as soon as the query ends.

    Args:
        data: owns the pool.
        label_counts: number of labels before each round.
        held_out: labels of the initial set to test on.
        title: how images are selected, for the first line of the run.
        order: makes the order in which images enter the initial set.
    """

    def __init__(
        self,
        data: ActiveDataModule,
        label_counts: Sequence[int],
        held_out: int,
        title: str,
        order: Callable[[], InitialOrder],
    ) -> None:
        super().__init__(data, label_counts, held_out, title)
        self._order = order

    def check(self) -> None:  # noqa: D102
        check_test_set(self.data, self.label_counts[0], self.held_out)
        if unknown := int((self.data.in_pool & ~self.data.hidden_labels.known).sum()):
            raise AnnotationError(
                f"expected labels of all images for oracle Simulated, but {unknown} of {self.data.num_pool} have "
                "none: set oracle to Files, so that a person labels them"
            )

    def initial_set(self) -> InitialSet:  # noqa: D102
        order = self._order()
        index = self.data.draw_initial(self.label_counts[0], order.index)
        return self.split_initial(order.held_out_first(index))

    def receive(self, selection: Selection, data: ActiveDataModule) -> None:  # noqa: D102
        label_selection(selection, data)

    def settle(self, draft: RoundRecord, selection: Selection, query: Query, fitted: Fitted) -> RoundRecord:  # noqa: D102
        return self.with_labels(draft, selection, query)


def labels_of(data: ActiveDataModule, index: Tensor, score: Tensor | None = None) -> LabeledImages:
    """Return known labels of images in the form of a record.

    Args:
        data: has the labels.
        index: (n,) int64, dataset-absolute.
        score: (n,) float32, scores of the query.
    """
    scores = None if score is None else [shortest(s) for s in score.tolist()]
    return LabeledImages(index.tolist(), data.labels[index].tolist(), scores, data.paths(index))


def pseudo_labels_of(query: Query) -> PseudoLabels | None:
    """Return the pseudo-labels of a query in the form of a record; None if its strategy makes none."""
    if query.selection.pseudo_labels is None:
        return None
    index, label = query.selection.pseudo_labels
    threshold = query.strategy.pseudo_label_threshold(query.round)
    return PseudoLabels(index.tolist(), label.tolist(), query.wrong_pseudo_labels, threshold)
