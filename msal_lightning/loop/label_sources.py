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
from msal_lightning.runs.records import LabeledImages, PseudoLabels, RoundRecord, Skipped, Upcoming, Votes

_NOTHING = Selection(torch.empty(0, dtype=torch.int64), None)


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
        lag: number of queries that are chosen ahead.

    Attributes:
        queries: whether the strategy selects images.
        keeps_model: whether the model of a round must be saved before its labels are there.
        upcoming: the images that are chosen for later rounds, best first; reserved in the split.
    """

    keeps_model = False
    queries = True

    def __init__(
        self, data: ActiveDataModule, label_counts: Sequence[int], held_out: int, title: str, lag: int = 0
    ) -> None:
        self.data = data
        self.label_counts = [*label_counts]
        self.held_out = held_out
        self.title = title
        self.lag = lag
        self.upcoming = _NOTHING

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
        """Return the number of images that are labeled after a round; 0 after the last one."""
        return 0 if self._is_last(round) else self.label_counts[round + 1] - self._num_given

    def to_select(self, round: int) -> int:
        """Return the number of images that the query of a round selects, for the round ``lag`` later; 0 in the end."""
        until = self.label_counts[min(round + 1 + self.lag, len(self.label_counts) - 1)]
        return 0 if self._is_last(round) else max(0, until - self._num_given - len(self.upcoming.index))

    def _is_last(self, round: int) -> bool:
        return round == len(self.label_counts) - 1

    @property
    def _num_given(self) -> int:
        return len(self.data.labeled) + len(self.data.held_out) + self.data.split.num_removed_labels

    def reserve(self, upcoming: Upcoming | None) -> None:
        """Reserve the images of a record or draft that are chosen for later rounds, and no others.

        Args:
            upcoming: the images; those that a person has removed since are left out.
        """
        self.data.split.release()
        known = upcoming or Upcoming()
        score = None if known.score is None else torch.tensor(known.score, dtype=torch.float32)
        chosen = Selection(torch.tensor(known.index, dtype=torch.int64), score)
        self.upcoming = chosen.part(self.data.in_pool[chosen.index])
        self.data.split.reserve(self.upcoming.index)

    def take_due(self, query: Query) -> Selection:
        """Return the images to label after a round, back in the pool, and reserve the others that are chosen.

        Args:
            query: the round's query; it has selected.
        """
        queue, split = self.upcoming.then(query.selection), self.data.split
        due = self.to_label(query.round)
        split.release()
        later = queue.part(slice(due, None))
        self.upcoming = later if len(later.index) else _NOTHING
        split.reserve(self.upcoming.index)
        return replace(queue.part(slice(due)), pseudo_labels=query.selection.pseudo_labels)

    def upcoming_record(self) -> Upcoming | None:
        """Return the images that are chosen for later rounds in the form of a record; None for none."""
        index, score = self.upcoming.index, self.upcoming.score
        return Upcoming(index.tolist(), None if score is None else shortest_of(score)) if len(index) else None

    def unanswered(self, round: int) -> RoundRecord | None:
        """Return the draft of a round whose query is made but not fully labeled; None for any other round."""
        return None

    def selected(self, query: Query) -> Selection:
        """Return the images to label after a round: the selection of its query, or with a lag of an earlier one."""
        return self.take_due(query)

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
            upcoming=self.upcoming_record(),
        )


class DataLabels(LabelSource):
    """The labels that came with the data; they are known as soon as the query ends.

    Args:
        data: owns the pool.
        label_counts: number of labels before each round.
        held_out: labels of the initial set to test on.
        title: how images are selected, for the first line of the run.
        order: makes the order in which images enter the initial set.
        lag: number of queries that are chosen ahead.
    """

    def __init__(
        self,
        data: ActiveDataModule,
        label_counts: Sequence[int],
        held_out: int,
        title: str,
        order: Callable[[], InitialOrder],
        lag: int = 0,
    ) -> None:
        super().__init__(data, label_counts, held_out, title, lag)
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

    def selected(self, query: Query) -> Selection:  # noqa: D102
        due = self.take_due(query)
        label_selection(due, self.data)
        return due

    def settle(self, draft: RoundRecord, selection: Selection, query: Query, fitted: Fitted) -> RoundRecord:  # noqa: D102
        return self.with_labels(draft, selection, query)


def labels_of(data: ActiveDataModule, index: Tensor, score: Tensor | None = None) -> LabeledImages:
    """Return known labels of images in the form of a record.

    Args:
        data: has the labels.
        index: (n,) int64, dataset-absolute.
        score: (n,) float32, scores of the query.
    """
    scores = None if score is None else shortest_of(score)
    return LabeledImages(index.tolist(), data.labels[index].tolist(), scores, data.paths(index))


def shortest_of(score: Tensor) -> list[float]:
    """Return scores as the shortest decimals with the same float32."""
    return [shortest(value) for value in score.tolist()]


def pseudo_labels_of(query: Query) -> PseudoLabels | None:
    """Return the pseudo-labels of a query in the form of a record; None if its strategy makes none."""
    if query.selection.pseudo_labels is None:
        return None
    index, label = query.selection.pseudo_labels
    threshold = query.strategy.pseudo_label_threshold(query.round)
    return PseudoLabels(index.tolist(), label.tolist(), query.wrong_pseudo_labels, threshold)
