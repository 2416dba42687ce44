"""Labels from annotators: the run sends each round's images to an oracle and waits for the annotations."""

import itertools
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import torch

from msal_lightning.data.base import ActiveDataModule
from msal_lightning.data.places import REASONS, Place
from msal_lightning.errors import AnnotationError, UserError
from msal_lightning.io.kill_points import kill_point
from msal_lightning.loop.checks import ModelCheck, check_test_set
from msal_lightning.loop.fitting import Fitted, Fitter
from msal_lightning.loop.initial_order import InitialOrder
from msal_lightning.loop.label_sources import InitialSet, LabelSource, pseudo_labels_of
from msal_lightning.models.predictor import Predictor
from msal_lightning.oracles.base import Annotation, AwaitingLabels, LabelingBatch, LabelingTask, Oracle
from msal_lightning.oracles.tasks import make_items, with_files
from msal_lightning.query.callback import Query, leave_in_pool
from msal_lightning.query.shortlist import Selection
from msal_lightning.runs.directory import RunDirectory
from msal_lightning.runs.pending import INITIAL, Exchange, PendingRequest, open_batches, pending_file, round_name
from msal_lightning.runs.records import (
    LabeledImages,
    PseudoLabels,
    RoundRecord,
    Skipped,
    Votes,
    record_body,
    record_of,
)
from msal_lightning.runs.votes import ImageVotes, votes_so_far
from msal_lightning.strategies.base import Strategy
from msal_lightning.training.checkpoint import load_checked
from msal_lightning.training.distributed import Ranks

Choose = Callable[[int], tuple[Selection, Predictor | None]]


class AnnotatorLabels(LabelSource):
    """Collects labels from an asynchronous oracle, such as a person who fills in files.

    Args:
        data: owns the pool.
        label_counts: number of labels before each round.
        held_out: labels of the initial set to test on.
        oracle: receives the labeling batches.
        strategy: chooses replacements of skipped images.
        run: stores requests and annotations.
        fitter: makes models and Trainers.
        model_check: checks the model as soon as the annotations have named the classes.
        order: makes the order in which images enter the initial set.
        lag: number of queries that are requested ahead.
    """

    keeps_model = True  # the model chooses replacements of skipped images, possibly in a later process

    def __init__(
        self,
        data: ActiveDataModule,
        label_counts: list[int],
        held_out: int,
        oracle: Oracle,
        strategy: Strategy,
        run: RunDirectory,
        fitter: Fitter,
        model_check: ModelCheck,
        order: Callable[[], InitialOrder],
        lag: int = 0,
    ) -> None:
        super().__init__(data, label_counts, held_out, f"query {strategy.name}", lag)
        self._oracle = oracle
        self._strategy = strategy
        self._run = run
        self._fitter = fitter
        self._model_check = model_check
        self._order = order

    @property
    def names_classes(self) -> bool:  # noqa: D102
        return self.data.num_classes < 2

    def check(self) -> None:  # noqa: D102
        check_test_set(self.data, self.label_counts[0], self.held_out)
        data, name = self.data, type(self._oracle).__name__
        known = int(data.hidden_labels.known[data.pool].sum())
        if data.hidden_labels.is_whole:
            raise AnnotationError(
                f"oracle {name} needs unlabeled images, but all labels are known: set oracle to Simulated, or "
                "data.unlabeled to true"
            )
        if known > self.label_counts[0]:
            raise AnnotationError(
                f"expected loop.initial_size to be at least {known}, the number of known labels, got "
                f"{self.label_counts[0]}: the first model trains on every known label"
            )
        if data.num_classes < 2 and not self._oracle.allow_new_classes:
            raise AnnotationError(
                f"expected at least two classes, got {data.num_classes}: name them in data.classes, or set "
                "oracle.allow_new_classes to true"
            )
        if taken := sorted({*REASONS} & {*data.class_names}):
            raise AnnotationError(
                f"expected no class with the name '{taken[0]}', which marks images without a usable label: rename the "
                "class"
            )

    def initial_set(self) -> InitialSet:
        """Use the labels that came with some images, and request the others.

        Raises:
            AwaitingLabels: labels are missing.
            AnnotationError: the known labels changed after the others were requested, or name only one class.
        """
        data, size, request = self.data, self.label_counts[0], self._pending_request(INITIAL)
        initial = self._order()
        order = initial.index
        known = order[data.hidden_labels.known[order]]
        to_ask = size - len(known)
        before = [item.index for exchange in request.exchanges[:1] for item in exchange.batch.items]
        if before and (len(before) != to_ask or {*before} & {*known.tolist()}):
            raise AnnotationError(
                f"expected the {size - len(before)} labels that data.csv had when the initial set was requested, got "
                f"{len(known)} labels now: restore the former file, or start anew with --overwrite"
            )
        data.label(known, 0)

        def choose(n: int) -> tuple[Selection, None]:
            return Selection(order[data.labeled_at[order] == Place.POOL][:n], None), None

        given, skipped, votes = self._session().collect(request, to_ask, 0, choose)
        if data.num_classes < 2:
            raise AnnotationError(
                f"expected at least two classes in the labels of the initial set, got {data.num_classes}: name all of "
                "them in data.classes, or start anew with a larger loop.initial_size"
            )
        if self._model_check.head is None:
            self._model_check.with_classes()
        kill_point("hold labels out")
        order = initial.held_out_first(torch.cat([known, given.tensors()[0]]))
        return replace(self.split_initial(order, skipped), votes=votes or None)

    def unanswered(self, round: int) -> RoundRecord | None:  # noqa: D102
        record = self._pending_request(round_name(round)).record
        return record_of(record) if record else None

    def settle(self, draft: RoundRecord, selection: Selection, query: Query, fitted: Fitted) -> RoundRecord:
        """Request the labels of the selection, and a replacement for each skipped image.

        Raises:
            AwaitingLabels: labels are missing; the draft is saved, so the round is not trained again.
        """
        predictor = Predictor(fitted.model, fitted.trainer)
        self._request_ahead(draft.round, predictor)
        kill_point("ask about a round")
        draft = replace(draft, pseudo_labels=pseudo_labels_of(query), upcoming=self.upcoming_record())
        request = replace(self._pending_request(round_name(draft.round)), record=record_body(draft))
        if request.exchanges:  # it was chosen ahead
            self._fitter.ranks.on_zero(lambda: self._run.write_pending(request))
        asked = sum(len(exchange.batch.items) for exchange in request.exchanges)
        further = selection.part(slice(asked, None))
        chosen = [(further, predictor)] if len(further.index) else []
        return self._collect(draft, request, self.to_label(draft.round), chosen)

    def resume(self, draft: RoundRecord) -> RoundRecord:  # noqa: D102
        request = self._pending_request(round_name(draft.round))
        self.reserve(draft.upcoming)
        if not self.to_label(draft.round):  # the run ends with this round, and nobody has answered
            return self._collect(draft, replace(request, exchanges=()), 0, [])
        return self._collect(draft, request, self.to_label(draft.round), [])

    def _request_ahead(self, round: int, predictor: Predictor) -> None:
        """Request the labels of later rounds whose images are chosen already."""
        ahead = self.upcoming
        for later, (before, after) in enumerate(itertools.pairwise(self.label_counts[round + 1 :]), round + 1):
            batch, ahead = ahead.part(slice(after - before)), ahead.part(slice(after - before, None))
            request = self._pending_request(round_name(later))
            if len(batch.index) and not request.exchanges:
                self._session().request(request, batch, predictor)

    def _collect(
        self, draft: RoundRecord, request: PendingRequest, n: int, chosen: list[tuple[Selection, Predictor]]
    ) -> RoundRecord:
        """Complete the record: label the chosen images first, then replacements that the model chooses."""
        data = self.data

        def choose(n: int) -> tuple[Selection, Predictor]:
            return chosen.pop() if chosen else self._choose_again(draft.round, n)

        try:
            self._session().announce(draft.round)
            given, skipped, votes = self._session().collect(request, n, draft.round + 1, choose)
        except AwaitingLabels as waiting:
            waiting.record = draft  # it holds the accuracy so far
            raise
        counts = torch.bincount(given.tensors()[1], minlength=data.num_classes)
        return replace(
            draft,
            queried=given,
            class_counts=counts.tolist(),
            pseudo_labels=self._still_in_pool(draft.pseudo_labels),
            skipped=(draft.skipped or Skipped()) + skipped,
            class_names=[*data.class_names],
            votes=(draft.votes or Votes()) + votes or None,
        )

    def _still_in_pool(self, pseudo: PseudoLabels | None) -> PseudoLabels | None:
        """Set the pseudo-labels of images that are still in the pool."""
        data = self.data
        if not pseudo:
            data.split.clear_pseudo_labels()
            return None
        in_pool = [int(data.labeled_at[index]) == Place.POOL for index in pseudo.index]
        index, label = (list(itertools.compress(column, in_pool)) for column in (pseudo.index, pseudo.label))
        left = PseudoLabels(index, label, threshold=pseudo.threshold)
        data.split.set_pseudo_labels(*left.tensors())
        return left

    def _choose_again(self, round: int, n: int) -> tuple[Selection, Predictor]:
        """Let the saved model of a round select replacements from the remaining pool."""
        file = self._run.model_file(round)
        query = Query(self._strategy, n, self._fitter.options.seed, round, leave_in_pool, self._fitter.ranks)
        with self._fitter.guarded():
            fitted = self._fitter.untrained([query])
            try:
                fitted.model.load_state_dict(load_checked(file)["state_dict"])
            except (OSError, ValueError, KeyError, RuntimeError):
                raise AnnotationError(
                    f"cannot read '{file}', the model of round {round}, whose labels are incomplete: restore it, or "
                    f"delete '{pending_file(self._run.path, round_name(round))}' to repeat the round"
                ) from None
            fitted.select(query)
            kill_point("choose again")
        return query.selection, Predictor(fitted.model, fitted.trainer)

    def _pending_request(self, name: str) -> PendingRequest:
        return self._fitter.ranks.on_zero(lambda: self._run.read_pending(name)) or PendingRequest(name)

    def _session(self) -> "AnnotationSession":
        finishes = self._run.amendments.finishes
        return AnnotationSession(self._oracle, self.data, self._run, self._fitter.ranks, replace_skipped=not finishes)


class AnnotationSession:
    """Sends a labeling batch, accepts its annotations, and requests replacements of skipped images.

    Each step is on disk before the next begins, so a later process with the same seed reaches the same state from the
    saved request. All processes of a run take part; only the first one talks to the oracle.

    Args:
        oracle: receives the labeling batches.
        data: owns the pool.
        run: stores requests and annotations.
        ranks: the processes of the run.
        replace_skipped: whether another image is requested for each skipped one.
    """

    def __init__(
        self, oracle: Oracle, data: ActiveDataModule, run: RunDirectory, ranks: Ranks, replace_skipped: bool = True
    ) -> None:
        self._oracle = oracle
        self._data = data
        self._run = run
        self._ranks = ranks
        self._replace_skipped = replace_skipped

    def collect(
        self, request: PendingRequest, n: int, trained_from: int, choose: Choose
    ) -> tuple[LabeledImages, Skipped, Votes]:
        """Collect n labels, or as many as the pool has images, and move these images out of the pool.

        Args:
            request: the batches so far.
            n: number of labels.
            trained_from: first round that trains on these labels.
            choose: takes a number of images; returns the best images of the pool and the model that chose them. It is
                called for the first batch and for replacements, on all processes.

        Returns:
            The labels, in the order of the requests, the skipped images, and the votes of named annotators.

        Raises:
            AwaitingLabels: labels are missing; raised on every process.
            AnnotationError: an annotation is wrong.
        """
        data = self._data
        names = [*data.class_names]  # the model that chooses replacements does not have new classes
        items, labels, skipped = list[LabelingTask](), list[int](), Skipped()
        self._ranks.on_zero(lambda: self._check_images(request))
        done = 0
        while True:
            for exchange in request.exchanges[done:]:
                if exchange.annotations is None:
                    request = self._annotated(request, names)
                    exchange = request.exchanges[-1]
                self._take(exchange, trained_from, names, items, labels, skipped)
            done = len(request.exchanges)
            missing = min(n - len(items), data.num_pool)
            if missing <= 0 or (done and not self._replace_skipped):
                break
            selection, predictor = choose(missing)
            request = self._ranks.on_zero(lambda: self._put(request, selection, predictor, names))  # noqa: B023
        data.add_classes(names[data.num_classes :])
        scores = [item.score for item in items if item.score is not None]
        index = [item.index for item in items]
        paths = data.paths(torch.tensor(index, dtype=torch.int64))
        labeled = LabeledImages(index, labels, scores if items and len(scores) == len(items) else None, paths)
        return labeled, skipped, _votes_of(request)

    def request(self, request: PendingRequest, selection: Selection, predictor: Predictor) -> None:
        """Save a labeling batch of a later round."""
        kill_point("request ahead")
        self._ranks.on_zero(lambda: self._put(request, selection, predictor, [*self._data.class_names]))

    def announce(self, round: int) -> None:
        """Send the batches of later rounds to the oracle; their labels may be there before they are due."""

        def send() -> None:
            for batch in open_batches(self._run.path, round + 1):
                with suppress(AwaitingLabels, UserError):  # mistakes are reported when the labels are due
                    self._ask(batch)

        self._ranks.on_zero(send)

    def _ask(self, batch: LabelingBatch) -> list[Annotation]:
        """Send a batch to the oracle, with the places of the files now."""
        return self._oracle.ask(replace(with_files(batch, self._data), earlier=self._earlier()))

    def _put(
        self, request: PendingRequest, selection: Selection, predictor: Predictor | None, names: list[str]
    ) -> PendingRequest:
        """Save a new labeling batch; the oracle gets it next."""
        items = make_items(self._data, selection, predictor)
        number = len(request.exchanges) + 1
        name = request.name if number == 1 else f"{request.name}-{number}"
        request = replace(request, num_images=len(self._data.labeled_at))
        request = request.ask(LabelingBatch(name, items, tuple(names), self._run.path / "queries"))
        self._run.write_pending(request)
        return request

    def _annotated(self, request: PendingRequest, names: list[str]) -> PendingRequest:
        """Send the last batch to the oracle.

        Raises:
            AwaitingLabels: labels are missing; raised on every process.
        """

        def ask() -> PendingRequest | tuple[int, str, str]:
            batch = request.exchanges[-1].batch
            try:
                annotated = request.annotate(self._ask(batch))
            except AwaitingLabels as waiting:
                return waiting.count, waiting.where, waiting.how
            self._check_classes(batch, annotated, names)
            kill_point("keep the answers")
            self._run.write_pending(annotated)
            kill_point("answers are kept")
            return annotated

        outcome = self._ranks.on_zero(ask)
        if isinstance(outcome, tuple):
            raise AwaitingLabels(*outcome)
        return outcome

    def _earlier(self) -> tuple[ImageVotes, ...]:
        votes = votes_so_far(self._run.path, self._run.records)
        return tuple(self._run.amendments.present_votes(votes).values())

    def _check_images(self, request: PendingRequest) -> None:
        """Check that the images have not changed since the request, because annotations refer to indices."""
        index = torch.tensor([item.index for exchange in request.exchanges for item in exchange.batch.items])
        paths = [item.path for exchange in request.exchanges for item in exchange.batch.items]
        now = len(self._data.labeled_at)
        try:
            if (
                request.num_images is not None
                and now != request.num_images
                and not (self._data.order and now > request.num_images)
            ):  # a person may have added images since
                raise ValueError(f"{request.num_images} images then, {now} now")
            self._data.check_paths(index.long(), paths)
        except ValueError as error:
            raise AnnotationError(
                f"the images changed after the labels of {request.name} were requested ({error}): restore the former "
                "images, or start anew with --overwrite"
            ) from None

    def _check_classes(self, batch: LabelingBatch, annotated: PendingRequest, names: list[str]) -> None:
        """Check for two classes before annotations are accepted, because accepted annotations never change."""
        annotations = annotated.exchanges[-1].annotations or ()
        known = {*names} | {annotation.label for annotation in annotations if annotation.label is not None}
        if len(known) < 2 and all(
            annotation.label is not None for annotation in annotations
        ):  # otherwise replacements follow
            raise AnnotationError(
                f"expected at least two classes in the labels of {batch.name}, got only '{known.pop()}': correct the "
                "labels, or start anew with --overwrite, with these labels as data.csv and a larger loop.initial_size"
            )

    def _take(
        self,
        exchange: Exchange,
        trained_from: int,
        names: list[str],
        items: list[LabelingTask],
        labels: list[int],
        skipped: Skipped,
    ) -> None:
        """Move the images of an annotated batch; new classes get numbers in order of appearance."""
        labeled, numbers = list[LabelingTask](), list[int]()
        for item, annotation in zip(exchange.batch.items, exchange.annotations or (), strict=True):
            if annotation.label is None:
                skipped.index.append(item.index)
                skipped.reason.append(annotation.reason if annotation.reason in REASONS else REASONS[0])
                skipped.path.append(item.path)
                kill_point("skip an image")
                self._data.split.skip(torch.tensor([item.index]))
                continue
            if annotation.label not in names:
                if not self._oracle.allow_new_classes:
                    raise AnnotationError(
                        f"expected classes of the data from {type(self._oracle).__name__}, got '{annotation.label}': "
                        "correct the annotation, or set oracle.allow_new_classes to true"
                    )
                names.append(annotation.label)
            labeled.append(item)
            numbers.append(names.index(annotation.label))
        kill_point("take answers over")
        self._data.split.restore(
            torch.tensor([item.index for item in labeled], dtype=torch.int64),
            torch.tensor(numbers, dtype=torch.int64),
            trained_from,
        )
        items += labeled
        labels += numbers


def _votes_of(request: PendingRequest) -> Votes:
    """Return what named annotators said about the images of a request."""
    rows = [
        (item.index, name, word)
        for exchange in request.exchanges
        for item, annotation in zip(exchange.batch.items, exchange.annotations or (), strict=True)
        for name, word in annotation.votes
    ]
    index, annotator, label = (list(column) for column in zip(*rows, strict=True)) if rows else ([], [], [])
    return Votes(index, annotator, label)
