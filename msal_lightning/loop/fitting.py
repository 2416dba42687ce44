"""The model of a round: fresh weights and a fresh Trainer, or a resumed fit."""

import gc
import itertools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, Trainer, seed_everything
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities.seed import isolate_rng

from msal_lightning.compat import count_as_fitted
from msal_lightning.data.base import ActiveDataModule
from msal_lightning.errors import UserError
from msal_lightning.io.kill_points import kill_point
from msal_lightning.loop.graphs import NO_GPU, why_no_graphs
from msal_lightning.loop.observers import Observers
from msal_lightning.loop.pool_pass import PoolPass, pass_of_trainer
from msal_lightning.loop.shared_round0 import SharedFit, digest, read_shared_fit, write_shared_fit
from msal_lightning.loop.single_steps import why_single_steps
from msal_lightning.loop.warm_start import WarmStart
from msal_lightning.models.class_results import ClassResults
from msal_lightning.models.classifier import MSALClassifier
from msal_lightning.query.callback import Query
from msal_lightning.runs.directory import RunDirectory
from msal_lightning.runs.options import LoopOptions
from msal_lightning.runs.records import RoundRecord
from msal_lightning.seeding import EpochStreams, derive_seed, retry_key
from msal_lightning.training.best_epoch import BestEpoch
from msal_lightning.training.checkpoint import (
    SINGLE_STEPS,
    WHOLE_EPOCHS,
    FitCheckpoint,
    SavedFit,
    load_checked,
    read_fit,
    resume_fit,
    save_atomically,
)
from msal_lightning.training.distributed import Ranks
from msal_lightning.training.eager_steps import EagerSteps
from msal_lightning.training.failures import explained, refused_by_lightning
from msal_lightning.training.fit_log import read_fit_epochs
from msal_lightning.training.graphed_steps import GraphedSteps
from msal_lightning.training.lightning_noise import quiet_lightning
from msal_lightning.training.nan_guard import DivergedError, NaNGuard
from msal_lightning.training.optimizer_steps import check_stepped
from msal_lightning.training.signals import GracefulShutdown

_LARGE = 1_000_000  # images; below, Python's own rhythm is enough
_RETRIES = 3  # after a fit that diverged; each attempt has other weights


@dataclass
class Fitted:
    """A round's trained model.

    Attributes:
        model: the model after the fit.
        trainer: the Trainer of the fit.
        data: the run's data module.
        seconds: duration of each phase so far.
        stop: ends the run between two phases after a signal.
        reported: whether another process shows the user's mistakes.
        pool_pass: scores the pool.
    """

    model: MSALClassifier
    trainer: Trainer
    data: ActiveDataModule
    seconds: dict[str, float]
    stop: GracefulShutdown
    reported: bool = False
    pool_pass: PoolPass = pass_of_trainer

    @contextmanager
    def timed(self, phase: str) -> Iterator[None]:
        """Measure the duration of a phase."""
        self.stop.check()
        start = time.perf_counter()
        yield
        self.seconds[phase] = time.perf_counter() - start

    def test(self) -> tuple[dict[str, float], ClassResults]:
        """Test the model.

        Returns:
            Metrics by name, and the results of each class.

        Raises:
            UserError: the logits are not finite. The argmax of NaNs is the first class, so they would still yield an
                accuracy.
        """
        with self.timed("test"):
            metrics = dict(self.trainer.test(self.model, datamodule=self.data, verbose=False)[0])
        if not math.isfinite(metrics.get("test_loss", 0.0)):
            raise UserError(
                f"expected finite logits of the test images in round {self.data.round}, got NaN or infinity: the model "
                "has probably diverged; lower model.optimizer.init_args.lr",
                reported=self.reported,
            )
        if self.model.test_classes is None:
            name = type(self.model).__name__
            raise TypeError(f"expected {name}.on_test_epoch_end() to call that of MSALClassifier")
        return metrics, self.model.test_classes

    def select(self, query: Query, look_at_pool: bool = False) -> None:
        """Run a query, with a pass over the pool if its strategy needs one.

        Args:
            query: one of the Trainer's callbacks.
            look_at_pool: make the pass even if the strategy does not need it.
        """
        with self.timed("query"):
            needs_pass = look_at_pool or (query.n and query.strategy.needs)
            if needs_pass and self.data.num_pool:
                self.pool_pass(query, self.trainer, self.model, self.data, self.stop.check)
            elif query.n and not query.strategy.needs:
                query.select_without_pass(self.data)
            self.stop.check()


class Fitter:
    """Makes the models of a run and trains them, one in each round.

    Args:
        new_model: makes a model with fresh weights from the global random state.
        new_trainer: makes a Trainer from the keyword arguments that the loop sets (callbacks, logger, ...).
        data: the images and their split.
        run: keeps the fit in progress.
        options: options of the loop.
        ranks: the processes of the run.
        observers: show notes, and provide each fit's logger.
        stop: ends a fit after a signal.
        pool_pass: scores the pool.

    Attributes:
        new_model: see above.
        make_trainer: the argument ``new_trainer``, without the additions of :meth:`new_trainer`.
        reopened: record of the finished round whose kept model goes on, because the run was extended; else None.
        images_digest: identifies the images, so that a saved fit resumes only on the same images; None in runs of
            versions that stored none.
    """

    def __init__(
        self,
        new_model: Callable[[], MSALClassifier],
        new_trainer: Callable[..., Trainer],
        data: ActiveDataModule,
        run: RunDirectory,
        options: LoopOptions,
        ranks: Ranks,
        observers: Observers,
        stop: GracefulShutdown,
        pool_pass: PoolPass = pass_of_trainer,
    ) -> None:
        self._pool_pass = pool_pass
        self.new_model = new_model
        self.options = options
        self.ranks = ranks
        self.reopened: RoundRecord | None = None
        self.images_digest: str | None = None
        self.make_trainer = new_trainer
        self._data = data
        self._run = run
        self._observers = observers
        self._stop = stop
        self._warm_start = WarmStart(options, run)
        self._shared_fit_file = Path(options.first_fit) if options.first_fit else None

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Give fits and passes their own random state, and convert mistakes that a user can fix into UserError."""
        with isolate_rng(), quiet_lightning(), explained(self._data.num_workers), refused_by_lightning():
            yield

    def free_memory(self) -> None:
        """Free what earlier rounds and runs of this process have left, if the pool is large.

        A Trainer and its loaders refer to each other, and hold 8 bytes for each image of the pool until Python looks
        for such cycles.
        """
        if len(self._data.labeled_at) >= _LARGE:
            gc.collect()

    def fit(self, round: int, last_round: int, callbacks: Sequence[Callback]) -> Fitted:
        """Train this round's model, from the start or from the last saved epoch.

        Args:
            round: k.
            last_round: number of the last round, for the progress bar.
            callbacks: additional callbacks for the Trainer.

        Raises:
            UserError: the loss became NaN or infinite, or no optimizer step was taken.
        """
        kill_point("before fit")
        origin = self._origin(round)
        shared = self.ranks.on_zero(lambda: self._kept_fit(round) or self._shared_fit(origin))
        saved = None if shared else self.ranks.on_zero(lambda: self._saved_fit(origin))
        for attempt in itertools.count(saved.attempt if saved else 0):
            self._data.enter(attempt=attempt)
            before = shared or saved
            seed_everything(derive_seed(self.options.seed, "init", round, *retry_key(attempt)), verbose=False)
            checkpoint = FitCheckpoint(
                self._run.fit_checkpoint, self.options.checkpoint_seconds, origin, attempt, saved
            )
            fitted = self.untrained(
                [
                    EpochStreams(self.options.seed, round, attempt),
                    NaNGuard(),
                    BestEpoch(),
                    *callbacks,
                    *self._observers.callbacks(round, last_round),
                    checkpoint,
                ],
                self._observers.logger(round, before.rows if before else []),
            )
            self._warm_start(fitted.model, round, attempt)
            checkpoint.attach(fitted.trainer)
            if shared:
                return self._take_over(shared, fitted)
            try:
                self._train(fitted, checkpoint, saved)
            except DivergedError as error:
                self._give_up_or_retry(error, round, attempt)
                saved = None
                continue
            kill_point("after fit")
            check_stepped(fitted.trainer, round, reported=not self.ranks.is_zero)
            self._keep(fitted, checkpoint, origin)
            return fitted
        raise AssertionError

    @cached_property
    def whole_epochs(self) -> bool:
        """Whether Lightning runs a whole epoch as one batch, which costs less; the first look notes why it does not."""
        why, _ = self._obstacles
        if why:
            self._observers.note(f"(each optimizer step is a batch of Lightning, which is slower, because {why})")
        return why is None

    @cached_property
    def graphs(self) -> bool:
        """Whether the steps of whole epochs are replays of a CUDA graph; on a GPU the first look notes the answer."""
        _, why = self._obstacles
        if why is None:
            self._observers.note("(optimizer steps are replays of a CUDA graph)")
        elif why != NO_GPU:
            self.train_without_graphs(why)
        return why is None

    @cached_property
    def _obstacles(self) -> tuple[str | None, str | None]:
        """What keeps fits from whole epochs, and from graphs within them."""
        with isolate_rng():
            fitted = self.untrained([])
            single_steps = why_single_steps(fitted.trainer, fitted.model, self._data)
            if single_steps:
                return single_steps, single_steps
            return None, why_no_graphs(fitted.trainer, fitted.model, self._data, self.options.compile)

    def train_without_graphs(self, why: str) -> None:
        """Launch the steps of all later fits kernel by kernel, and note why."""
        self._observers.note(f"(optimizer steps are not replays of a CUDA graph, which is slower, because {why})")
        self.graphs = False

    def new_steps(self) -> EagerSteps:
        """Return an object that takes the optimizer steps of a fit in whole epochs."""
        data = self._data
        if self.graphs:
            return GraphedSteps(data.training_batch, data.resident_batches, self.train_without_graphs)
        return EagerSteps(data.training_batch)

    def choose_steps(self, model: MSALClassifier) -> EagerSteps:
        """Let Lightning run whole epochs of a model's fit if nothing needs a batch for each step.

        Returns:
            An object to close after the fit.
        """
        self._data.enter(whole_epochs=self.whole_epochs)
        if not self.whole_epochs:
            return EagerSteps(self._data.training_batch)
        model.train_whole_epochs(steps := self.new_steps())
        return steps

    def untrained(self, callbacks: Sequence[Callback], logger: Logger | bool = False) -> Fitted:
        """Return a model with fresh weights from the global random state, and a Trainer for it."""
        model = self.new_model()
        if self.options.compile:  # torch caches the compiled code by architecture, so the next round's model reuses it
            model.backbone.compile()
        trainer = self.new_trainer([*callbacks, self._stop], logger)
        return Fitted(model, trainer, self._data, {}, self._stop, not self.ranks.is_zero, self._pool_pass)

    def new_trainer(self, callbacks: Sequence[Callback] = (), logger: Logger | bool = False) -> Trainer:
        """Return a Trainer with the user's options.

        Raises:
            UserError: Lightning rejects an option.
        """
        with refused_by_lightning(ValueError, TypeError, RuntimeError, ZeroDivisionError, KeyError):
            trainer = self.make_trainer(
                logger=logger,
                callbacks=[*callbacks],
                default_root_dir=self._run.path,
                enable_checkpointing=any(isinstance(callback, Checkpoint) for callback in callbacks),
                use_distributed_sampler=False,  # the loaders are already divided among processes, without duplicates
                enable_model_summary=False,
                enable_progress_bar=False,  # RoundProgress shows one bar per phase
                log_every_n_steps=1,  # the default of 50 warns in short rounds; our metrics are logged per epoch
            )
        save_atomically(trainer)
        return trainer

    # ---------------------------------------------------------------- one attempt

    def _train(self, fitted: Fitted, checkpoint: FitCheckpoint, saved: SavedFit | None) -> None:
        with fitted.timed("fit"), closing(self.choose_steps(fitted.model)):
            if saved:
                resume_fit(fitted.trainer, fitted.model, self._data, self._run.fit_checkpoint, saved)
            else:
                fitted.trainer.fit(fitted.model, datamodule=self._data)
        if not (saved and saved.ended):
            checkpoint.save_ended(fitted.trainer)
        fitted.seconds["fit"] += saved.seconds if saved else 0.0

    def _keep(self, fitted: Fitted, checkpoint: FitCheckpoint, origin: dict[str, Any]) -> None:
        """Report a failed save, and share round 0 with other runs."""
        if checkpoint.failed or checkpoint.unsaved:
            why = checkpoint.failed or f"{checkpoint.unsaved} has state that is not in its state_dict"
            self._observers.note(
                f"could not save the fit of round {origin['round']} ({why}); after a kill the run repeats it"
            )
        if origin["round"] or not self._shared_fit_file or not self.ranks.is_zero:
            return
        key, seconds = self._shared_key(origin), fitted.seconds["fit"]
        if failed := write_shared_fit(self._shared_fit_file, key, fitted.model, seconds, checkpoint.rows):
            self._observers.note(
                f"could not write loop.first_fit '{self._shared_fit_file}' ({failed}); other runs will train round 0 "
                "themselves"
            )

    def _take_over(self, shared: SharedFit, fitted: Fitted) -> Fitted:
        """Use the fit of another run, or of this run before it was extended."""
        fitted.model.load_state_dict(shared.weights)
        fitted.seconds["fit"] = shared.seconds
        ends = [row for row in shared.rows if "epoch" in row]
        if ends:
            count_as_fitted(fitted.trainer, int(ends[-1]["epoch"]) + 1, int(ends[-1]["step"]) + 1)
        for logger in fitted.trainer.loggers:
            logger.save()  # writes the losses of the other run
        return fitted

    def _give_up_or_retry(self, error: DivergedError, round: int, attempt: int) -> None:
        what = f"{error} of round {round}"
        if self.options.on_nan == "stop" or attempt == _RETRIES:
            tried = f", {_RETRIES + 1} times with other weights" if attempt else ""
            raise UserError(
                f"{what}{tried}: lower model.optimizer.init_args.lr, set trainer.gradient_clip_val, or set loop.on_nan "
                "to retry",
                reported=not self.ranks.is_zero,
            )
        self._observers.note(f"{what}: the round starts again with other weights, attempt {attempt + 2}")

    # ---------------------------------------------------------------- saved fits

    @cached_property
    def _config_digest(self) -> str:
        """The configuration does not change during a run; to read and hash it takes as long as a short fit."""
        return self._run.config_digest

    def _origin(self, round: int) -> dict[str, Any]:
        """Return the properties that identify a saved fit."""
        split = self._data.digest()
        self.ranks.agree(split, "split")
        origin = {"round": round, "split": split, "config": self._config_digest, "processes": self.ranks.size}
        origin["steps"] = WHOLE_EPOCHS if self.whole_epochs else SINGLE_STEPS
        return origin | ({"data": self.images_digest} if self.images_digest else {})

    def _saved_fit(self, origin: dict[str, Any]) -> SavedFit | None:
        file = self._run.fit_checkpoint
        former = {"config": lambda: self._run.former_config_digest, "split": self._data.former_digest}
        saved = read_fit(file, origin, former)
        if isinstance(saved, str):
            self._observers.note(f"the checkpoint '{file}' {saved}: the fit of round {origin['round']} starts again")
            return None
        if saved:
            reached = "its fit" if saved.ended else f"epoch {saved.epochs}"
            self._observers.note(f"(round {origin['round']} resumes after {reached})")
        return saved

    def _kept_fit(self, round: int) -> SharedFit | None:
        """Return the fit of a finished round that is open again; without its model it is repeated, with one result."""
        record = self.reopened
        if record is None or record.round != round or self.options.on_nan == "retry":  # which attempt is not known
            return None
        try:
            weights = load_checked(self._run.model_file(round))["state_dict"]
        except Exception as error:  # a damaged file may raise anything
            why = f"its model cannot be read ({type(error).__name__})"
            self._observers.note(f"round {round} is trained again, because {why}")
            return None
        epochs = read_fit_epochs(self._run.path, round, record.metrics)
        return SharedFit(weights, record.seconds["fit"], [row for epoch in epochs for row in epoch])

    def _shared_fit(self, origin: dict[str, Any]) -> SharedFit | None:
        """Return round 0 of another run with the same model and initial set, if it can be used."""
        if origin["round"] or not self._shared_fit_file:
            return None
        found = read_shared_fit(self._shared_fit_file, self._shared_key(origin))
        if isinstance(found, str):
            self._observers.note(f"loop.first_fit '{self._shared_fit_file}' {found}: round 0 is trained here")
            return None
        return found

    def _shared_key(self, origin: dict[str, Any]) -> dict[str, Any]:
        same = {key: value for key, value in origin.items() if key != "steps"}  # both ways give the same weights
        return same | {"config": digest(self._run.config)}
