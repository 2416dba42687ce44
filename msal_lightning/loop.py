"""The active-learning loop: start here."""

import itertools
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from lightning.pytorch import Callback, Trainer, seed_everything
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.loggers import Logger
from lightning.pytorch.loggers.logger import DummyLogger
from lightning.pytorch.utilities.seed import isolate_rng

from msal_lightning.analysis.classes import accuracy_name
from msal_lightning.checkpoint import FitCheckpoint, SavedFit, load_checked, read_fit, resume_fit, save_atomically
from msal_lightning.config.batch_size import check_batch_size, say_batch_size, was_per_device, without_key
from msal_lightning.data.base import IN_POOL, ActiveDataModule
from msal_lightning.data.fingerprint import FILE, digest_of, take_fingerprint, to_bytes
from msal_lightning.data.fingerprint import FILES as FINGERPRINT_FILES
from msal_lightning.display import Display, RoundProgress
from msal_lightning.embeddings import FILES as EMBEDDINGS_FILES
from msal_lightning.embeddings import KeepEmbeddings
from msal_lightning.errors import UserError
from msal_lightning.failures import explained, refused_by_lightning
from msal_lightning.first_fit import FirstFit, digest, read_first_fit, write_first_fit
from msal_lightning.io.names import name_some
from msal_lightning.io.wording import counted
from msal_lightning.loss_guard import DivergedError, LossGuard
from msal_lightning.module import MSALClassifier
from msal_lightning.oracles.asked import INITIAL, Asked, asked_file
from msal_lightning.oracles.base import NotYet, Oracle
from msal_lightning.oracles.conversation import Conversation
from msal_lightning.oracles.simulated import Simulated
from msal_lightning.oracles.suggest import shortest
from msal_lightning.predictor import Predictor
from msal_lightning.preflight import check_labels, check_test_set
from msal_lightning.query import Query
from msal_lightning.quiet import quiet_lightning
from msal_lightning.ranks import Ranks, check_launcher
from msal_lightning.replay import Replay
from msal_lightning.restore import changed_images, restore
from msal_lightning.runs import (
    PseudoLabels,
    Purchase,
    RoundRecord,
    RunDirectory,
    Skipped,
    aubc,
    flatten,
    record_body,
    record_of,
)
from msal_lightning.selection import Selection, check_classes
from msal_lightning.signals import GentleStop
from msal_lightning.sizes import label_counts
from msal_lightning.strategies.base import Strategy
from msal_lightning.streams import EpochStreams, derive_seed, retry_key
from msal_lightning.tracking import FILES as TRACKING_FILES
from msal_lightning.tracking import Tracker, Tracking
from msal_lightning.training.callback_rules import check_trainer
from msal_lightning.training.dry_run import try_model
from msal_lightning.training.environment import environment, say_changed_environment
from msal_lightning.training.optimizer_steps import check_limits, check_stepped

_RETRIES = 3  # after a fit that diverged, each with weights of its own


class ActiveLoop:
    """Fits, tests, queries and records, round after round, until the query budget is spent.

    Every round has a fresh model, optimizer and Trainer. A round's record is what makes it final: a loop that was
    interrupted goes on in the round after the last recorded one, at the epoch where its fit was saved, and gives what
    it would have given uninterrupted. With several devices every process runs the same loop: it trains, tests and
    scores its part, the first one selects and writes.

    Args:
        new_model: makes a model with fresh weights from the global random state.
        new_trainer: makes a Trainer from the keyword arguments that the loop sets (callbacks, logger, ...).
        data: the images and their split.
        strategy: chooses what to buy.
        run: where the records go; its finished rounds are not done again.
        initial_size: images in the initial set, those held out among them; all: learn from everything, query nothing
            (the paper's Full).
        query_size: labels bought per round, the paper's b.
        query_budget: labels bought in all beyond the initial set, the paper's Q.
        seed: of every random draw.
        held_out: labels of the initial set to test on instead of learning from them, where the data has no test set.
        pool_limit: score a random subset of this many pool images each round, for pools too large to score whole; none:
            the whole pool.
        pool_error: measure the error rate on the pool each round (Fig. 3), also where the query needs no pass over it.
        keep_embeddings: of this many pool images and all bought, for `figure tsne`; passes over the pool as pool_error.
        checkpoint_seconds: a fit is saved at the end of an epoch when this long has passed since the last time; a kill
            loses that much training at most, or one epoch where that takes longer.
        keep_checkpoints: models that stay: of the last finished round, of all rounds, or none.
        on_nan: a loss that is NaN or infinite stops the run, or the round is tried again with other weights, three
            times at most.
        compile: torch.compile the backbone, once for all rounds; an interrupted run is then the same up to rounding.
        replay: a run directory; train on what was bought there, round by round, instead of querying. Pseudo-labels
            belong to the model that made them and are not replayed.
        first_fit: a file for the model of round 0, shared by runs that differ only in query and budget.
        oracle: who labels what is queried; by default the labels that came with the images.
        tracker: shows the run elsewhere too; none: CSV files only.

    Attributes:
        waiting: what a person has to label before the loop goes on; None where :meth:`run` came to the end.

    Raises:
        UserError: sizes that don't fit the data or each other, or a strategy that doesn't fit the model.
    """

    def __init__(
        self,
        new_model: Callable[[], MSALClassifier],
        new_trainer: Callable[..., Trainer],
        data: ActiveDataModule,
        strategy: Strategy,
        run: RunDirectory,
        *,
        initial_size: int | Literal["all"],
        query_size: int = 1,
        query_budget: int = 0,
        held_out: int = 0,
        seed: int = 0,
        pool_limit: int | None = None,
        pool_error: bool = False,
        keep_embeddings: int = 0,
        checkpoint_seconds: float = 60.0,
        keep_checkpoints: Literal["last", "all", "none"] = "last",
        on_nan: Literal["stop", "retry"] = "stop",
        compile: bool = False,
        replay: str | None = None,
        first_fit: str | None = None,
        oracle: Oracle | None = None,
        tracker: Tracker | None = None,
    ) -> None:
        self.new_model = new_model
        self.new_trainer = new_trainer
        self.data = data
        self.strategy = strategy
        self.run_directory = run
        self.seed = seed
        self.pool_error = pool_error
        self.keep_embeddings = keep_embeddings
        self.checkpoint_seconds = checkpoint_seconds
        self.on_nan = on_nan
        self.compile = compile
        self.replay = Replay(replay) if replay else None
        self.first_fit = Path(first_fit) if first_fit else None
        self.oracle = oracle or Simulated()
        self.waiting: NotYet | None = None
        self._images: dict[str, Any] = {}  # digest and numbers of the images
        self.display = Display()
        self.tracker = Tracking(run, tracker, self.display.note, hold=on_nan == "retry")
        self.ranks = Ranks()
        self.stop = GentleStop()
        run.keep_checkpoints = keep_checkpoints
        run.written_by_others = (*EMBEDDINGS_FILES, *FINGERPRINT_FILES, *TRACKING_FILES)

        data.prepare_data()
        if (first := run.first_record()) is not None:
            data.resume_as(first.resolved)
        data.setup()
        data.reset(seed)
        data.pool_limit = pool_limit
        if self.replay:
            self.label_counts, self.held_out = self.replay.label_counts, self.replay.held_out
        else:
            self.label_counts = label_counts(len(data.pool), initial_size, query_size, query_budget)
            self.held_out = held_out
        check_test_set(data, self.label_counts[0], self.held_out, self.replay)
        if not self.replay:
            check_labels(data, self.oracle, self.label_counts[0])
        self.oracle.connect(data)
        strategy.expect_queries(len(self.label_counts) - 1)
        if pool_limit is not None and pool_limit < query_size:
            raise UserError(
                f"expected loop.pool_limit to be at least loop.query_size ({query_size}), got {pool_limit}: a query "
                "chooses among the images that it scores"
            )
        if checkpoint_seconds < 0:
            raise UserError(
                f"expected loop.checkpoint_seconds to be at least 0, got {checkpoint_seconds}: 60 is the default"
            )
        if keep_embeddings < 0:
            raise UserError(
                f"expected loop.keep_embeddings to be at least 0, got {keep_embeddings}: 1000 is enough for a figure"
            )
        from_python = not run.config
        if from_python:  # enough to tell another run by
            sizes = {"initial_size": initial_size, "query_size": query_size, "query_budget": query_budget}
            sizes |= {"held_out": held_out} if held_out else {}
            run.config = {
                "seed": seed,
                "loop": {**sizes, "pool_limit": pool_limit, "compile": compile or None, "replay": replay},
                "query": _describe(strategy),
                "data": {**_describe(data), "imbalance": data.imbalance},
                "model": {},
            }
            run.config["data"]["init_args"]["batch_size_per_device"] = data.batch_size_per_device
        self._check_trainer()
        # the classes may be a person's first answers; a model waits for them
        self._has_classes = data.num_classes >= 2 or self.oracle.instant
        if not self._has_classes:
            self._check_backbone()
        head = self._check_model() if self._has_classes else None
        if from_python:
            run.config["model"] = {"head": head}

    def run(self) -> list[RoundRecord]:
        """Do all rounds that are not done yet.

        Returns:
            The records of all rounds, from the first; of those before the one that waits for a person.

        Raises:
            Stopped: Ctrl-C or SIGTERM asked for the end.
        """
        with isolate_rng(), quiet_lightning():
            trainer = self._new_trainer(logger=False, callbacks=[])
            ranks = self.ranks = Ranks.connect(trainer)
        if not ranks.is_zero:
            self.display.silent()
        with ranks, self.stop.listen_as(ranks), closing(self.run_directory), closing(self.tracker):
            records = ranks.on_zero(self._open)
            to_do = range(len(records), len(self.label_counts))
            now = environment(trainer)
            if to_do and records and (changed := say_changed_environment(records[-1].environment, now)):
                self.display.note(changed)
            tracking = ranks.is_zero and (bool(to_do) or not self.tracker.finished)
            if to_do:
                self._images = ranks.on_zero(lambda: self._check_images(records))
                restore(self.data, records, self.seed, self.run_directory.path)
            if tracking:
                self.tracker.start(records)
            if to_do:
                self.display.start(self.title, records)
            else:
                ranks.on_zero(lambda: self.run_directory.drop_checkpoints(records[-1].round))
                self.display.already_finished(self.run_directory.path)
            self.waiting = None
            try:
                for round in to_do:
                    self.stop.where = f"round {round}"
                    records.append(self._round(round))
            except NotYet as waiting:
                self.waiting = waiting
            if tracking and not self.waiting:
                name = accuracy_name(records).replace(" ", "_")
                self.tracker.finish({"AUBC": aubc(records), name: records[-1].accuracy})
            if self.waiting:
                self.display.waiting(self.waiting)
                ranks.part()
            else:
                self.display.finish(records, self.run_directory)
                if ranks.is_zero and (self.held_out or not self.oracle.instant):
                    self.display.outlook(self.run_directory.path)
        return records

    def _round(self, round: int) -> RoundRecord:
        data, seconds = self.data, dict[str, float]()
        data.round = round
        initial, held_out, skipped = self._initial() if round == 0 else (Purchase(), None, Skipped())
        asked = self._asked(f"round-{round:03d}")
        if asked and asked.record:  # trained, tested and queried before: only answers are missing
            return self._answered(record_of(asked.record), asked)
        num_labeled, num_pool = len(data.labeled) + len(data.held_out), len(data.pool)
        learn = torch.cat([data.labeled, data.pool])
        is_last = round == len(self.label_counts) - 1
        to_buy = 0 if is_last or self.replay else self.label_counts[round + 1] - num_labeled
        query = Query(self.strategy, to_buy, self.seed, round)
        keep = KeepEmbeddings(self.keep_embeddings, self.seed) if self.keep_embeddings else None

        with isolate_rng(), quiet_lightning(), explained(data.num_workers), refused_by_lightning():
            model, trainer = self._fit([query, keep] if keep else [query], seconds)
            with self._timed(seconds, "test"):
                metrics = trainer.test(model, datamodule=data, verbose=False)[0]
            self._check_tested(metrics)
            with self._timed(seconds, "query"):
                if num_pool and ((to_buy and self.strategy.needs) or self.pool_error or keep):
                    trainer.predict(model, datamodule=data, return_predictions=False)
                self.stop.check()
                if asked:
                    query.choose(data, self.ranks)
                else:
                    query.buy(data, self.ranks)
        tested = model.test_classes
        if tested is None:
            raise TypeError(f"expected {type(model).__name__}.on_test_epoch_end() to call that of MSALClassifier")
        if self.replay and not is_last:
            query.selection = self.replay.buy(data, round)

        self._check_bill()
        self.run_directory.save_model(trainer, round, needed=asked is not None)
        if keep:
            keep.save(self.run_directory, round, query.selection.index, self.ranks)
        self.ranks.on_zero(lambda: self.tracker.queried(round, query.selection.index, model, trainer))
        chosen = query.selection
        bought = chosen if asked is None else Selection(chosen.index[:0], None)  # a person has not answered yet
        record = RoundRecord(
            round=round,
            num_labeled=num_labeled,
            num_pool=num_pool,
            num_scored=query.seen,
            num_test=data.num_test,
            metrics={name: shortest(value) for name, value in metrics.items()} | tested.macro(),
            seconds=seconds,
            pool_error=query.pool_error,
            class_counts=torch.bincount(data.labels[bought.index], minlength=data.num_classes).tolist(),
            bought=_purchase(data, bought.index, bought.score),
            initial=initial,
            learn_class_counts=data.truth.count_classes(learn, data.num_classes) if round == 0 else None,
            pseudo_labels=_pseudo_labels(query),
            environment=environment(trainer),
            held_out=held_out,
            class_names=[*data.class_names] if round == 0 else None,
            data=self._images or None if round == 0 else None,
            test_classes=tested,
            resolved=data.resolved if round == 0 else None,
        )
        if asked:
            draft = replace(record, skipped=skipped)
            asked = replace(asked, record=record_body(draft))
            return self._answered(draft, asked, to_buy, (chosen, Predictor(model, trainer)))
        self.ranks.on_zero(lambda: self._commit(record))
        return record

    # ---------------------------------------------------------------- a person's labels

    def _asked(self, name: str) -> Asked | None:
        """What a person was asked before, nothing at first; None where no person is asked."""
        if self.oracle.instant or self.replay:
            return None
        return self.ranks.on_zero(lambda: self.run_directory.read_asked(name)) or Asked(name)

    def _initial(self) -> tuple[Purchase, Purchase | None, Skipped]:
        """Label the initial set, and hold the first of its images out.

        Returns:
            What is learned from, what is held out, and what a person skipped.
        """
        index, skipped = self._label_initial()
        if len(index) <= self.held_out:
            raise UserError(
                f"expected more labels in the initial set than loop.held_out ({self.held_out}), got {len(index)}, and "
                "no image is left to ask about: add images, and start anew with --overwrite"
            )
        held_out, initial = index[: self.held_out], index[self.held_out :]
        self.data.hold_out(held_out)
        tested = _purchase(self.data, held_out, None) if self.held_out else None
        return _purchase(self.data, initial, None), tested, skipped

    def _label_initial(self) -> tuple[torch.Tensor, Skipped]:
        """Labels that came with the images go first, a person gives the others."""
        data = self.data
        asked = self._asked(INITIAL)
        if asked is None:
            size = self.label_counts[0]
            index = self.replay.label_initial(data) if self.replay else data.draw_initial(size)
            return index, Skipped()
        order = data.initial_order()
        known = order[data.truth.known[order]]
        to_ask = self.label_counts[0] - len(known)
        before = [item.index for exchange in asked.exchanges[:1] for item in exchange.question.items]
        if before and (len(before) != to_ask or {*before} & {*known.tolist()}):
            raise UserError(
                "expected the labels in data.csv that were there when the initial set was asked for "
                f"({self.label_counts[0] - len(before)}), got others ({len(known)}): bring the former file back, or "
                "start anew with --overwrite"
            )
        data.label(known, 0)

        def choose(n: int) -> tuple[Selection, None]:
            return Selection(order[data.labeled_at[order] == IN_POOL][:n], None), None

        conversation = Conversation(self.oracle, data, self.run_directory, self.ranks)
        given, skipped = conversation.buy(asked, to_ask, 0, choose)
        if data.num_classes < 2:
            raise UserError(
                f"expected at least two classes in the labels of the initial set, got {data.num_classes}: name all of "
                "them in data.classes, or start anew with a larger loop.initial_size"
            )
        if not self._has_classes:
            self._check_model()
        return torch.cat([known, torch.tensor(given.index, dtype=torch.int64)]), skipped

    def _answered(
        self,
        draft: RoundRecord,
        asked: Asked,
        n: int | None = None,
        chosen: tuple[Selection, Predictor] | None = None,
    ) -> RoundRecord:
        """Buy a person's labels for what the query chose, and the next best for what the person skips.

        Args:
            draft: the record but for the labels.
            asked: what was asked before.
            n: labels to buy; as many as the first question asked for by default.
            chosen: by the query, with the model of the round; None: asked before.
        """
        data, round = self.data, draft.round
        first = [chosen] if chosen else []

        def choose(n: int) -> tuple[Selection, Predictor]:
            return first.pop() if first else self._choose_again(round, n)

        n = len(asked.exchanges[0].question.items) if n is None else n
        conversation = Conversation(self.oracle, data, self.run_directory, self.ranks)
        try:
            bought, skipped = conversation.buy(asked, n, round + 1, choose)
        except NotYet:
            self.display.round(draft)  # how good the model is that asks
            raise
        pseudo = draft.pseudo_labels
        if pseudo:
            in_pool = [int(data.labeled_at[index]) == IN_POOL for index in pseudo.index]
            index, label = (list(itertools.compress(column, in_pool)) for column in (pseudo.index, pseudo.label))
            pseudo = PseudoLabels(index, label, threshold=pseudo.threshold)
            data.set_pseudo_labels(torch.tensor(index, dtype=torch.int64), torch.tensor(label, dtype=torch.int64))
        else:
            data.clear_pseudo_labels()
        record = replace(
            draft,
            bought=bought,
            class_counts=torch.bincount(
                torch.tensor(bought.label, dtype=torch.int64), minlength=data.num_classes
            ).tolist(),
            pseudo_labels=pseudo,
            skipped=(draft.skipped or Skipped()) + skipped,
            class_names=[*data.class_names],
        )
        self._check_bill()
        self.ranks.on_zero(lambda: self._commit(record))
        return record

    def _choose_again(self, round: int, n: int) -> tuple[Selection, Predictor]:
        """Let the model of a round choose once more, from what the pool still has."""
        data, file = self.data, self.run_directory.model_file(round)
        query = Query(self.strategy, n, self.seed, round)
        with isolate_rng(), quiet_lightning(), explained(data.num_workers), refused_by_lightning():
            model = self.new_model()
            try:
                model.load_state_dict(load_checked(file)["state_dict"])
            except (OSError, ValueError, KeyError, RuntimeError):
                raise UserError(
                    f"cannot read '{file}', the model that asked in round {round}: put it back, or delete "
                    f"'{asked_file(self.run_directory.path, f'round-{round:03d}')}', and the round is done again"
                ) from None
            trainer = self._new_trainer(logger=False, callbacks=[query, self.stop])
            if self.strategy.needs:
                trainer.predict(model, datamodule=data, return_predictions=False)
            query.choose(data, self.ranks)
        return query.selection, Predictor(model, trainer)

    # ---------------------------------------------------------------- the model of a round

    def _fit(self, watching: Sequence[Callback], seconds: dict[str, float]) -> tuple[MSALClassifier, Trainer]:
        """Train this round's model, from the start or from where an interrupted fit was saved."""
        data, run, round = self.data, self.run_directory, self.data.round
        split = data.digest()
        self.ranks.agree(split, "split")
        # what makes a saved fit this one
        origin = {"round": round, "split": split, "config": run.config_digest, "processes": self.ranks.size}
        origin |= {"data": self._images["digest"]} if self._images else {}
        shared = self.ranks.on_zero(lambda: self._first_fit(origin))
        saved = None if shared else self.ranks.on_zero(lambda: self._saved_fit(origin))
        for attempt in itertools.count(saved.attempt if saved else 0):
            data.attempt = attempt
            before = shared or saved
            seed_everything(derive_seed(self.seed, "init", round, *retry_key(attempt)), verbose=False)
            model = self.new_model()
            if self.compile:  # what it makes belongs to the architecture, so the next round's new model finds it again
                model.backbone.compile()
            rows = before.rows if before else []
            checkpoint = FitCheckpoint(run.fit_checkpoint, self.checkpoint_seconds, origin, attempt, saved)
            trainer = self._new_trainer(
                # a stand-in on the other ranks: some callbacks refuse to work without a logger
                logger=self.tracker.logger(round, rows) if self.ranks.is_zero else DummyLogger(),
                callbacks=[
                    self.tracker.callback(),
                    EpochStreams(self.seed, round, attempt),
                    LossGuard(),
                    *watching,
                    *([RoundProgress(round, len(self.label_counts) - 1)] if self.ranks.is_zero else []),
                    self.stop,
                    checkpoint,
                ],
            )
            checkpoint.attach(trainer)
            if shared:
                model.load_state_dict(shared.weights)
                seconds["fit"] = shared.seconds
                for logger in trainer.loggers:
                    logger.save()  # its losses
                return model, trainer
            try:
                with self._timed(seconds, "fit"):
                    if saved:
                        resume_fit(trainer, model, data, run.fit_checkpoint, saved)
                    else:
                        trainer.fit(model, datamodule=data)
                if not (saved and saved.ended):
                    checkpoint.save_ended(trainer)
            except DivergedError as error:
                self._give_up_or_retry(error, attempt)
                saved = None
                continue
            check_stepped(trainer, round, told=not self.ranks.is_zero)
            seconds["fit"] += saved.seconds if saved else 0.0
            if checkpoint.failed or checkpoint.unsaved:
                why = checkpoint.failed or f"{checkpoint.unsaved} has state that is not in its state_dict"
                self.display.note(f"could not save the fit of round {round} ({why}); a kill would repeat it")
            if round == 0 and self.first_fit and self.ranks.is_zero:
                self._leave_first_fit(origin, model, seconds["fit"], checkpoint.rows)
            return model, trainer
        raise AssertionError

    def _open(self) -> list[RoundRecord]:
        records = self.run_directory.open()
        for note in self.run_directory.notes:
            self.display.note(note)
        may_lack = sum(len(record.skipped.index) for record in records if record.skipped)  # of a pool that is used up
        if any(not 0 <= n - r.num_labeled <= may_lack for r, n in zip(records, self.label_counts, strict=False)) or len(
            records
        ) > len(self.label_counts):
            raise UserError(
                f"the rounds in run_dir '{self.run_directory.path}' are of other sizes than loop.* gives: choose "
                "another run_dir, or start anew with --overwrite"
            )
        if left := self.run_directory.left:
            self.display.note(f"(--overwrite left what no run writes: {name_some(left)})")
        return records

    def _check_images(self, records: list[RoundRecord]) -> dict[str, Any]:
        """Make sure that the images are those that the run was started with, and look at them where it starts.

        Returns:
            What the record of round 0 says about them; nothing in runs of versions that kept nothing.
        """
        run, data = self.run_directory, self.data
        if records or asked_file(run.path, INITIAL).exists():
            if change := changed_images(data, run.path, records[0] if records else None):
                raise UserError(
                    f"the data are not those that run_dir '{run.path}' was started with ({change}): bring the former "
                    "ones back, or start anew with --overwrite"
                )
            if records:
                return records[0].data or {}
        elif self.replay and (note := self.replay.check_images(data)):
            self.display.note(note)
        prints = take_fingerprint(data)
        run.save_file(FILE, to_bytes(prints))
        num_test = len(data.test.label)
        return {"digest": digest_of(prints), "train": len(prints) - num_test, "test": num_test}

    def _saved_fit(self, origin: dict[str, Any]) -> SavedFit | None:
        file = self.run_directory.fit_checkpoint
        saved = read_fit(file, origin)
        if isinstance(saved, str):
            self.display.note(f"the checkpoint '{file}' {saved}: the fit of round {origin['round']} starts again")
            return None
        if saved:
            reached = "its fit" if saved.ended else f"epoch {saved.epochs}"
            self.display.note(f"(round {origin['round']} goes on after {reached})")
        return saved

    def _first_fit(self, origin: dict[str, Any]) -> FirstFit | None:
        """Round 0 as another run of the same model and initial set left it."""
        if origin["round"] or not self.first_fit:
            return None
        found = read_first_fit(self.first_fit, origin | {"config": digest(self.run_directory.config)})
        if isinstance(found, str):
            self.display.note(f"loop.first_fit '{self.first_fit}' {found}: round 0 is trained here")
            return None
        return found

    def _leave_first_fit(
        self, origin: dict[str, Any], model: MSALClassifier, seconds: float, rows: list[dict[str, float]]
    ) -> None:
        file = self.first_fit or Path()
        if failed := write_first_fit(
            file, origin | {"config": digest(self.run_directory.config)}, model, seconds, rows
        ):
            self.display.note(
                f"could not write loop.first_fit '{file}' ({failed}); other runs train round 0 themselves"
            )

    def _give_up_or_retry(self, error: DivergedError, attempt: int) -> None:
        what = f"{error} of round {self.data.round}"
        if self.on_nan == "stop" or attempt == _RETRIES:
            tried = f", {_RETRIES + 1} times with other weights" if attempt else ""
            raise UserError(
                f"{what}{tried}: lower model.optimizer.init_args.lr, set trainer.gradient_clip_val, or set loop.on_nan "
                "to retry",
                told=not self.ranks.is_zero,
            )
        self.display.note(f"{what}: the round starts again with other weights, attempt {attempt + 2}")

    def _commit(self, record: RoundRecord) -> None:
        """The point from which the round counts; whatever a kill leaves undone before or after it is done again."""
        self.run_directory.commit(record)
        self.tracker.log_round(record)
        self.display.round(record)

    @contextmanager
    def _timed(self, seconds: dict[str, float], phase: str) -> Iterator[None]:
        self.stop.check()
        start = time.perf_counter()
        yield
        seconds[phase] = time.perf_counter() - start

    def _new_trainer(self, logger: Logger | bool, callbacks: list[Callback]) -> Trainer:
        with refused_by_lightning(ValueError, TypeError, RuntimeError, ZeroDivisionError, KeyError):
            trainer = self.new_trainer(
                logger=logger,
                callbacks=callbacks,
                default_root_dir=self.run_directory.path,
                enable_checkpointing=any(isinstance(callback, Checkpoint) for callback in callbacks),
                use_distributed_sampler=False,  # the loaders are divided already, without images that come twice
                enable_model_summary=False,
                enable_progress_bar=False,  # RoundProgress shows one bar per phase
                log_every_n_steps=1,  # the default of 50 warns in short rounds; nothing of ours is logged per step
            )
        save_atomically(trainer)
        return trainer

    def _check_backbone(self) -> None:
        """Find what the number of classes does not change before a person labels anything."""
        with isolate_rng(), quiet_lightning():
            try:
                model = self.new_model()
            except ValueError:  # one of your own that waits for the classes
                return
            try_model(model, self.data.images.shape[1:], self._max_epochs)

    def _check_model(self) -> str:
        """Find mistakes before anything is written or trained; returns the name of the model's head."""
        check_classes(self.strategy, self.data.num_classes)
        with isolate_rng(), quiet_lightning():
            model = self.new_model()
            Query(self.strategy, 0, self.seed, 0).prepare(model)
            head = model.head_name
            try_model(model, self.data.images.shape[1:], self._max_epochs)
        if not self.replay and self.strategy.needs_prototypes and head != "prototype":
            raise UserError(
                f"query {self.strategy.name} needs prototypes, got model.head {head}: "
                "set model.head to prototype, or query to Entropy, Margin or LeastConfidence"
            )
        return head

    def _check_trainer(self) -> None:
        """Find mistakes in trainer.* before a person labels anything."""
        data, run = self.data, self.run_directory
        with isolate_rng(), quiet_lightning():
            trainer = self._new_trainer(logger=False, callbacks=[])
        check_launcher(trainer)
        check_trainer(trainer)
        self.num_processes, self._max_epochs = trainer.world_size, trainer.max_epochs
        if was_per_device(run.written_config(), flatten(run.config)):  # it keeps its kind of batches
            run.config = without_key(run.config)
            data.batch_size_per_device = data.batch_size_per_device or trainer.world_size > 1
        first = data.pool[: self.label_counts[0] - self.held_out]
        check_limits(trainer, len(data.epoch_batches(first, ranks=trainer.world_size)))
        num_test = len(data.test.label) or self.held_out
        if trainer.world_size > num_test:
            raise UserError(
                f"expected trainer.devices to be at most {num_test}, the test images, got "
                f"{trainer.world_size} processes: each tests a part of them"
            )
        check_batch_size(data.batch_size, data.batch_size_per_device, trainer.world_size)

    def _check_tested(self, metrics: Mapping[str, float]) -> None:
        """Whether the model gives numbers: of NaN the largest is always the first class, which has an accuracy too."""
        if not math.isfinite(metrics.get("test_loss", 0.0)):
            raise UserError(
                f"expected finite logits of the test images in round {self.data.round}, got some that are not: the "
                "model has probably diverged; lower model.optimizer.init_args.lr",
                told=not self.ranks.is_zero,
            )

    def _check_bill(self) -> None:
        # what the oracle was asked for must be what was bought, or labels have leaked
        bought = len(self.data.labeled) + len(self.data.held_out)
        if self.data.truth.handed_out != bought:
            raise RuntimeError(f"the oracle handed out {self.data.truth.handed_out} labels, but {bought} were bought")

    @property
    def title(self) -> str:
        """What runs, in a line or two."""
        counts = self.label_counts
        learn = torch.cat([self.data.labeled, self.data.held_out, self.data.pool])
        tested = f" ({self.held_out} of them held out to test on)" if self.held_out else ""
        query = f"the labels bought in {self.replay.path}" if self.replay else f"query {self.strategy.name}"
        described = self.data.describe()
        images = counted(len(learn), "image")
        return (
            f"{self.data.name}, {query}, seed {self.seed}: {counts[0]} to {counted(counts[-1], 'label')}{tested} "
            f"in {counted(len(counts), 'round')}, {images} to learn from{self._long_tail(learn)}{self._batches()}"
            f"{described and chr(10)}{described}"
        )

    def _batches(self) -> str:
        if self.num_processes == 1:
            return ""
        sync = bool(flatten(self.run_directory.config).get("trainer.sync_batchnorm"))
        data = self.data
        return "\n" + say_batch_size(data.batch_size, data.batch_size_per_device, self.num_processes, sync)

    def _long_tail(self, learn: torch.Tensor) -> str:
        sizes = self.data.truth.count_classes(learn, self.data.num_classes)
        if self.data.imbalance is None or sizes is None:
            return ""
        shown = [str(size) for size in sizes]
        if len(shown) > 12:
            shown[6:-6] = ["…"]
        return f"\nlong tail {self.data.imbalance}: {' '.join(shown)} images per class"


def _describe(component: object) -> dict[str, Any]:
    """Class and plain options of a strategy or dataset, in the form of a configuration."""
    plain = {k: v for k, v in vars(component).items() if isinstance(v, bool | int | float | str) and k[0] != "_"}
    nested = {k: _describe(v) for k, v in vars(component).items() if isinstance(v, Strategy)}
    options = {**plain, **nested} if isinstance(component, Strategy) else {}
    return {"class_path": f"{type(component).__module__}.{type(component).__qualname__}", "init_args": options}


def _purchase(data: ActiveDataModule, index: torch.Tensor, score: torch.Tensor | None) -> Purchase:
    scores = None if score is None else [shortest(s) for s in score.tolist()]
    return Purchase(index.tolist(), data.labels[index].tolist(), scores, data.paths(index))


def _pseudo_labels(query: Query) -> PseudoLabels | None:
    if query.selection.pseudo_labels is None:
        return None
    index, label = query.selection.pseudo_labels
    return PseudoLabels(
        index.tolist(), label.tolist(), query.wrong_pseudo_labels, query.strategy.pseudo_label_threshold(query.round)
    )
