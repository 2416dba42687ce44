"""The active-learning loop: start here."""

from collections.abc import Callable
from contextlib import closing
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.utilities.seed import isolate_rng

from msal_lightning.data.base import ActiveDataModule
from msal_lightning.data.fingerprint import FILES as FINGERPRINT_FILES
from msal_lightning.loop.checks import ModelCheck, check_fits
from msal_lightning.loop.describe import from_python, title
from msal_lightning.loop.drafts import class_counts, class_facts, draft_record, first_facts
from msal_lightning.loop.ending import Ending
from msal_lightning.loop.fitting import Fitter
from msal_lightning.loop.keep_embeddings import KeepEmbeddings
from msal_lightning.loop.label_sources import InitialSet
from msal_lightning.loop.observers import Observers
from msal_lightning.loop.pool_pass import PoolPass, pass_of_trainer
from msal_lightning.loop.restore import check_rounds, initial_set_of, keep_batches, restore
from msal_lightning.loop.same_images import check_images
from msal_lightning.loop.sources import choose_label_source
from msal_lightning.models.classifier import MSALClassifier
from msal_lightning.oracles.base import AwaitingLabels, Oracle
from msal_lightning.oracles.simulated import Simulated
from msal_lightning.query.callback import Query
from msal_lightning.runs.directory import RunDirectory
from msal_lightning.runs.embeddings import FILES as EMBEDDINGS_FILES
from msal_lightning.runs.image_order import read_as_recorded
from msal_lightning.runs.options import LoopOptions
from msal_lightning.runs.records import RoundRecord
from msal_lightning.strategies.base import Strategy
from msal_lightning.tracking import FILES as TRACKING_FILES
from msal_lightning.tracking import Tracker
from msal_lightning.training.distributed import Ranks
from msal_lightning.training.environment import environment, say_changed_environment
from msal_lightning.training.lightning_noise import quiet_lightning
from msal_lightning.training.signals import GracefulShutdown


class ActiveLoop:
    """Fits, tests, queries and records, round after round, until the query budget is spent.

    Every round has a fresh model, optimizer and Trainer. A round counts as soon as its record is on disk. An
    interrupted loop resumes in the first round without a record, at the last saved epoch, and gives the result of an
    uninterrupted one. With several devices every process runs the same loop: each process trains, tests and scores its
    part, and the first one selects and writes.

    Args:
        new_model: makes a model with fresh weights from the global random state.
        new_trainer: makes a Trainer from the keyword arguments that the loop sets (callbacks, logger, ...).
        data: the images and their split.
        strategy: selects the images to label.
        run: stores the records; finished rounds are not repeated.
        options: sizes, seed, and the files to keep.
        oracle: labels the queried images; by default it reveals the labels that came with the images.
        tracker: an additional display of the run; None writes CSV files only.
        pool_pass: scores the pool; by default the Trainer of the fit does.

    Attributes:
        waiting: the pending labeling request; None if :meth:`run` finished all rounds.

    Raises:
        UserError: the options do not fit the data or each other, or the strategy does not fit the model.
    """

    def __init__(
        self,
        new_model: Callable[[], MSALClassifier],
        new_trainer: Callable[..., Trainer],
        data: ActiveDataModule,
        strategy: Strategy,
        run: RunDirectory,
        options: LoopOptions,
        oracle: Oracle | None = None,
        tracker: Tracker | None = None,
        pool_pass: PoolPass = pass_of_trainer,
    ) -> None:
        self.data = data
        self.strategy = strategy
        self.run_directory = run
        self.options = options
        self.waiting: AwaitingLabels | None = None
        self._images: dict[str, Any] = {}  # digest and numbers of the images
        self.ranks = Ranks()
        self.stop = GracefulShutdown()
        self.observers = Observers(run, tracker, self.ranks, hold=options.on_nan == "retry")
        self.fitter = Fitter(
            new_model, new_trainer, data, run, options, self.ranks, self.observers, self.stop, pool_pass
        )
        run.keep_checkpoints = options.keep_checkpoints
        run.written_by_others = (*EMBEDDINGS_FILES, *FINGERPRINT_FILES, *TRACKING_FILES)

        data.prepare_data()
        if (first := run.first_record()) is not None:
            read_as_recorded(data, run.path, run.amendments, first)
        data.setup()
        data.reset(options.seed)
        data.enter(pool_limit=options.pool_limit)
        with isolate_rng(), quiet_lightning():
            trainer = self.fitter.new_trainer()
        self.num_processes = trainer.world_size
        check_model = ModelCheck(new_model, data, strategy, trainer.max_epochs)
        self.labels = choose_label_source(data, strategy, oracle or Simulated(), run, self.fitter, check_model)
        self.ending = Ending(options.stop, data, run, self.labels, self.ranks, options.seed)
        run.config = run.config or from_python(options, strategy, data)
        keep_batches(run, data, trainer.world_size)
        check_fits(trainer, data, self.labels.label_counts[0], self.labels.held_out)
        check_model.start(self.labels.names_classes, self.labels.queries)
        if run.config.get("model") == {}:
            run.config["model"] = {"head": check_model.head}

    def run(self) -> list[RoundRecord]:
        """Run all rounds that are not finished.

        Returns:
            The records of all finished rounds, in order.

        Raises:
            Stopped: Ctrl-C or SIGTERM stopped the run.
        """
        with isolate_rng(), quiet_lightning():
            trainer = self.fitter.new_trainer()
            ranks = self.ranks.connect(trainer)
        with ranks, self.stop.listen_as(ranks), closing(self.run_directory), closing(self.observers):
            records, self.fitter.reopened = ranks.on_zero(self._open)
            is_finished = len(records) == len(self.labels.label_counts)
            if not is_finished:
                self._resume(records, trainer)
            self.observers.start(self.title, records, finished=is_finished)
            try:
                self.waiting = None
                while len(records) < len(self.labels.label_counts):  # a stopping criterion may lower their number
                    self.stop.where = f"round {len(records)}"
                    records.append(self._round(len(records)))
                if self.ending.reason:
                    self.observers.note(f"stopped early: {self.ending.reason} (loop.stop)")
                self.observers.finish(records)
            except AwaitingLabels as waiting:
                self.waiting = waiting
                self.observers.waiting(waiting)
                ranks.disconnect()
        return records

    def _round(self, round: int) -> RoundRecord:
        """Run one round: initial set, fit, test, pool pass, selection, model, labels, record."""
        data, labels, options, amendments = self.data, self.labels, self.options, self.run_directory.amendments
        self.fitter.free_memory()
        data.enter(round=round)
        amendments.before_fit(data, round)
        facts = first_facts(data, self._initial_set(), self._images) if round == 0 else {}
        if (numbers := amendments.class_numbers(round)) is not None:
            facts |= class_facts(data) | {"class_numbers": numbers}
        if amendments.change_labels:
            facts["trained_class_counts"] = class_counts(data)
        if (draft := labels.unanswered(round)) is not None:
            amendments.before_query(data, round)
            return self._commit(labels.resume(draft))

        num_labeled = len(data.labeled) + len(data.held_out)
        query = Query(self.strategy, labels.to_label(round), options.seed, round, labels.receive, self.ranks)
        keep = KeepEmbeddings(options.keep_embeddings, options.seed)
        with self.fitter.guarded():
            fitted = self.fitter.fit(round, len(labels.label_counts) - 1, [query, keep])
            metrics, by_class = fitted.test()
            facts |= self.ending.look(query, fitted, metrics)
            amendments.before_query(data, round)
            num_pool = data.num_pool
            fitted.select(query, look_at_pool=options.pool_error or keep.limit > 0)

        selection = labels.selected(query)
        self.run_directory.save_model(fitted.trainer, round, needed=labels.keeps_model)
        keep.save(self.run_directory, round, selection.index, self.ranks)
        self.observers.queried(round, selection.index, fitted.model, fitted.trainer)
        draft = draft_record(data, query, fitted, metrics, by_class, num_labeled, num_pool, facts)
        return self._commit(labels.settle(draft, selection, query, fitted))

    def _initial_set(self) -> InitialSet:
        known = self.fitter.reopened
        return initial_set_of(self.data, known) if known else self.labels.initial_set()

    def _commit(self, record: RoundRecord) -> RoundRecord:
        self.data.split.check_bill()
        self.observers.commit(record)
        return record

    def _open(self) -> tuple[list[RoundRecord], RoundRecord | None]:
        """Lock the run directory; return the records of its finished rounds, and the round that is open again."""
        run = self.run_directory
        records = run.open()
        for note in run.notes:
            self.observers.note(note)
        check_rounds(records, self.labels.label_counts, run.amendments.num_removed_labels, run.path)
        if len(records) == len(self.labels.label_counts):
            run.drop_checkpoints(records[-1].round)
        return records, run.reopened

    def _resume(self, records: list[RoundRecord], trainer: Trainer) -> None:
        """Check the images, and move them as the records say."""
        known = [*records, self.fitter.reopened] if self.fitter.reopened else records
        if known and (changed := say_changed_environment(known[-1].environment, environment(trainer))):
            self.observers.note(changed)
        run, note = self.run_directory, self.observers.note
        self._images = self.ranks.on_zero(lambda: check_images(self.data, run, self.labels, known, note))
        self.fitter.images_digest = self._images.get("digest")
        restore(self.data, records, run.amendments, self.options.seed, run.path)

    @property
    def title(self) -> str:
        """The description of the run, in a line or two."""
        return title(self.data, self.labels, self.options.seed, self.run_directory.config, self.num_processes)
