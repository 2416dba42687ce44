"""The active-learning loop: start here."""

from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.utilities.seed import isolate_rng

from msal_lightning.data.base import ActiveDataModule
from msal_lightning.data.fingerprint import FILES as FINGERPRINT_FILES
from msal_lightning.errors import ConfigError
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
from msal_lightning.oracles.base import AwaitingLabels, LabelingBatch, Oracle
from msal_lightning.oracles.simulated import Simulated
from msal_lightning.oracles.tasks import with_files
from msal_lightning.oracles.told import Told
from msal_lightning.query.callback import Query, leave_in_pool
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
        waiting: the pending labeling request; None if all rounds are finished.
        records: records of the finished rounds, in order.

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
        self.oracle = oracle or Simulated()
        self.run_directory = run
        self.options = options
        self.waiting: AwaitingLabels | None = None
        self.records: list[RoundRecord] = []
        self._is_open = False
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
        self.labels = choose_label_source(data, strategy, self.oracle, run, self.fitter, check_model)
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
        with ranks, self.stop.listen_as(ranks), closing(self):
            self._open(trainer)
            self._advance()
            if self.waiting is not None:
                self.observers.waiting(self.waiting)
                ranks.disconnect()
        return self.records

    def ask(self) -> list[LabelingBatch]:
        """Run rounds until labels are missing, and return the images to label.

        The loop stays open between two calls. This labels a run from Python, with the oracle
        :class:`~msal_lightning.oracles.Told`::

            while batches := loop.ask():
                loop.tell({item.path: "cat" if is_cat(item.file) else "dog" for item in batches[0].items})

        Returns:
            The batches with missing labels: first the one that the next round waits for, then with ``loop.lag`` those
            of later rounds, which may be labeled at the same time. None is left when all rounds are finished.

        Raises:
            Stopped: Ctrl-C or SIGTERM stopped the run.
            UserError: a label is wrong, or the Trainer has several processes.
        """
        if self.num_processes > 1:
            raise ConfigError(
                f"expected trainer.devices 1 for ask(), got {self.num_processes} processes: label by files instead, "
                "with oracle Files"
            )
        try:
            with self.stop.listen_as(self.ranks):
                if self._is_open:
                    self._restore()
                else:
                    with isolate_rng(), quiet_lightning():
                        trainer = self.fitter.new_trainer()
                    self._open(trainer)
                self._advance()
                if self.waiting is not None:
                    self.stop.check()  # a signal that came after the last batch of the query
        except BaseException:
            self.close()
            raise
        if self.waiting is None:
            self.close()
            return []
        return [with_files(batch, self.data) for batch in self.run_directory.open_batches()]

    def tell(self, labels: Mapping[str, str], annotator: str = "") -> None:
        """Take labels of images that :meth:`ask` returned; any thread may call this, see :meth:`Told.tell`.

        Raises:
            ConfigError: the oracle takes labels from elsewhere.
            AnnotationError: no label is missing for an image, or a class is not known. No label is taken then.
        """
        if not isinstance(self.oracle, Told):
            raise ConfigError(f"expected oracle Told for tell(), got {type(self.oracle).__name__}: set oracle to Told")
        self.oracle.tell(labels, annotator)

    def close(self) -> None:
        """Release the run directory and the tracker; a later call of :meth:`ask` or :meth:`run` resumes."""
        self.observers.close()
        self.run_directory.close()
        self._is_open = False

    def _open(self, trainer: Trainer) -> None:
        """Lock the run directory, and move the images as its records say."""
        self.records, self.fitter.reopened = self.ranks.on_zero(self._read)
        is_finished = len(self.records) == len(self.labels.label_counts)
        if not is_finished:
            self._resume(trainer)
        self.observers.start(self.title, self.records, finished=is_finished)
        self._is_open = True

    def _advance(self) -> None:
        """Run rounds until all are finished, or labels are missing."""
        records, self.waiting = self.records, None
        try:
            while len(records) < len(self.labels.label_counts):  # a stopping criterion may lower their number
                self.stop.where = f"round {len(records)}"
                records.append(self._round(len(records)))
        except AwaitingLabels as waiting:
            self.waiting = waiting
            return
        self.ranks.on_zero(self.run_directory.drop_requests)
        if self.ending.reason:
            self.observers.note(f"stopped early: {self.ending.reason} (loop.stop)")
        self.observers.finish(records)

    def _round(self, round: int) -> RoundRecord:
        """Run one round: initial set, fit, test, pool pass, selection, model, labels, record."""
        data, labels, options, amendments = self.data, self.labels, self.options, self.run_directory.amendments
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

        self.fitter.free_memory()
        num_labeled = len(data.labeled) + len(data.held_out)
        query = Query(self.strategy, labels.to_select(round), options.seed, round, leave_in_pool, self.ranks)
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
        keep.save(self.run_directory, round, torch.cat([selection.index, query.selection.index]), self.ranks)
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

    def _read(self) -> tuple[list[RoundRecord], RoundRecord | None]:
        """Lock the run directory; return the records of its finished rounds, and the round that is open again."""
        run = self.run_directory
        records = run.open()
        for note in run.notes:
            self.observers.note(note)
        check_rounds(records, self.labels.label_counts, run.amendments.num_removed_labels, run.path)
        if len(records) == len(self.labels.label_counts):
            run.drop_checkpoints(records[-1].round)
        return records, run.reopened

    def _resume(self, trainer: Trainer) -> None:
        """Check the images, and move them as the records say."""
        records = self.records
        known = [*records, self.fitter.reopened] if self.fitter.reopened else records
        if known and (changed := say_changed_environment(known[-1].environment, environment(trainer))):
            self.observers.note(changed)
        run, note = self.run_directory, self.observers.note
        self._images = self.ranks.on_zero(lambda: check_images(self.data, run, self.labels, known, note))
        self.fitter.images_digest = self._images.get("digest")
        self._restore()

    def _restore(self) -> None:
        """Put each image where the records say."""
        run, records = self.run_directory, self.records
        restore(self.data, records, run.amendments, self.options.seed, run.path)
        self.labels.reserve(records[-1].upcoming if records else None)

    @property
    def title(self) -> str:
        """The description of the run, in a line or two."""
        return title(self.data, self.labels, self.options.seed, self.run_directory.config, self.num_processes)
