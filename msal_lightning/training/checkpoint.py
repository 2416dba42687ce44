"""Checkpoints from which an interrupted fit resumes: atomic, between epochs and after the last one."""

import time
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from torch import Tensor

from msal_lightning.compat import resume_between_epochs
from msal_lightning.io.archives import check_zip
from msal_lightning.io.atomic import atomic_file
from msal_lightning.io.kill_points import kill_point
from msal_lightning.training.fit_log import open_rows
from msal_lightning.training.outside_state import OutsideState

_KEY = "msal_lightning"  # key of our entry in a checkpoint
SINGLE_STEPS, WHOLE_EPOCHS = "single steps", "whole epochs"
"""What Lightning ran as one batch. It counts steps differently in both cases, so a fit resumes only in the same way."""


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint to a temporary file and renames it.

    If a write fails, for example on a full disk, the former file stays. The error is stored and not raised, because
    other processes wait for the end of the write.

    Attributes:
        failed: reason why the last write failed; None if it succeeded.
    """

    failed: str | None = None

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write a checkpoint; Lightning calls this on the writing process."""
        path = Path(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_file(path) as file:
                torch.save(checkpoint, file)
            self.failed = None
        except (OSError, RuntimeError) as error:  # torch turns some errors of the file into its own
            self.failed = _reason(error)


def _reason(error: BaseException) -> str:
    causes = [error]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) is not None:
        causes.append(cause)
    of_the_system = [cause.strerror for cause in causes if isinstance(cause, OSError) and cause.strerror]
    return of_the_system[0] if of_the_system else str(error).partition("\n")[0]


def save_atomically(trainer: Trainer) -> None:
    """Make a Trainer write its checkpoints with :class:`AtomicCheckpointIO`, unless the user chose another plugin."""
    if type(trainer.strategy.checkpoint_io) is TorchCheckpointIO:
        trainer.strategy.checkpoint_io = AtomicCheckpointIO()


@dataclass(frozen=True)
class SavedFit:
    """A saved fit that was interrupted.

    Attributes:
        attempt: attempt at this round, from 0.
        epochs: number of finished epochs.
        seconds: duration of these epochs.
        rows: log of these epochs.
        ended: whether the fit had ended and all its hooks had run.
    """

    attempt: int
    epochs: int
    seconds: float
    rows: list[dict[str, float]] = field(default_factory=list)
    ended: bool = False


def load_checked(path: Path) -> dict[str, Any]:
    """Read a checkpoint without running code in it.

    Raises:
        ValueError: a checksum is wrong.
        Exception: a damaged or foreign file may raise anything.
    """
    check_zip(path)
    with zipfile.ZipFile(path) as archive:
        if bad := archive.testzip():  # torch does not verify checksums
            raise ValueError(f"wrong checksum of {bad}")
    checkpoint: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return checkpoint


def read_fit(
    path: Path, origin: Mapping[str, Any], former: Mapping[str, Callable[[], Any]] = MappingProxyType({})
) -> SavedFit | str | None:
    """Read a saved fit if it can be resumed.

    Args:
        path: path of the checkpoint.
        origin: round, split, configuration and number of processes of the fit to resume.
        former: for each property that older versions computed in another way, a function that computes it so.

    Returns:
        The saved fit; or the reason why it cannot be used; None if there is none, or if its round is finished.
    """
    if not path.exists():
        return None
    try:
        checkpoint = load_checked(path)
        entry = dict(checkpoint[_KEY])
        epochs = int(checkpoint["epoch"]) + 1
        ended = entry.pop("weights", None) is not None
        saved = SavedFit(entry.pop("attempt"), epochs, entry.pop("seconds"), entry.pop("rows"), ended)
    except Exception as error:  # a damaged or foreign file may raise anything
        return f"is damaged or not from this program ({type(error).__name__})"
    for name, value in former.items():
        if entry.get(name) != origin[name] and entry.get(name) == value():
            entry[name] = origin[name]
    if entry.get("round", 0) < origin["round"] and entry.get("config") == origin["config"]:
        return None
    entry.setdefault("data", origin.get("data"))  # older versions did not store it
    if entry.setdefault("steps", SINGLE_STEPS) != (steps := origin.get("steps", SINGLE_STEPS)):
        return f"was saved in {entry['steps']}, and this fit trains in {steps}"
    if differs := [name for name in origin if entry.get(name) != origin[name]]:
        return f"belongs to another run (its {', '.join(differs)} differ)"
    return saved


def resume_fit(
    trainer: Trainer, model: LightningModule, data: LightningDataModule, path: Path, saved: SavedFit
) -> None:
    """Resume an interrupted fit.

    Args:
        trainer: the round's Trainer.
        model: a model with fresh weights.
        data: the run's data module.
        path: path of the checkpoint.
        saved: result of :func:`read_fit`.
    """
    if saved.ended:
        trainer.fit_loop.max_epochs = saved.epochs  # the fit had ended, so no epoch is left
    trainer.fit(model, datamodule=data, ckpt_path=path, weights_only=True)  # weights_only: no code in the file is run
    if saved.ended:  # hooks at the start and the end of the fit have run twice
        model.load_state_dict(load_checked(path)[_KEY]["weights"])


class FitCheckpoint(Checkpoint):
    """Saves the fit between two epochs, and after its end, if enough time has passed since the last save.

    It saves before any hook of the second epoch has run; earlier, Lightning would not have stepped ReduceLROnPlateau.
    It does not save at the end of the last epoch, because Lightning would not run the following hooks in a resumed fit:
    averaged weights, for example, would be lost.

    Args:
        path: path of the file.
        seconds: minimum time between two saves.
        origin: properties that identify this fit, see :func:`read_fit`.
        attempt: attempt at this round, from 0.
        before: the interrupted fit that this fit resumes.

    Attributes:
        rows: log of the epochs so far.
        failed: reason why the last save failed; None if it succeeded.
        unsaved: a callback whose state cannot be saved; then the fit is not saved at all.
    """

    def __init__(
        self, path: Path, seconds: float, origin: Mapping[str, Any], attempt: int, before: SavedFit | None = None
    ) -> None:
        self.path = path
        self.seconds = seconds
        self.failed: str | None = None
        self.unsaved: str | None = None
        self._origin = {**origin, "attempt": attempt}
        self._started = self._saved = time.monotonic()
        self._spent, self._epochs = (before.seconds, before.epochs) if before else (0.0, 0)
        self._stop = False
        self._between: dict[str, Any] | None = None  # the progress of Lightning's loop at the end of the last epoch
        self._saving: dict[str, Any] | None = None  # what this save adds to Lightning's checkpoint
        self._constants: dict[str, Tensor] = {}
        self.rows = list(before.rows) if before else []

    def attach(self, trainer: Trainer) -> None:
        """Make the Trainer call this before any other callback at the start of an epoch."""
        self._outside_state = OutsideState(trainer)
        trainer.callbacks.insert(0, _EpochStart(self))  # type: ignore[attr-defined]
        resume_between_epochs(trainer)

    def on_save_checkpoint(  # noqa: D102
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        if self._saving is None:
            return  # Lightning's own save when SLURM ends the job
        if self._between is not None:
            checkpoint["loops"]["fit_loop"] = self._between
        checkpoint["epoch"] = self._epochs - 1
        checkpoint[_KEY] = self._saving

    def state_dict(self) -> dict[str, Any]:
        """Save whether another callback has requested the end of the fit; Lightning does not store it."""
        return {"stop": self._stop}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:  # noqa: D102
        self._stop = state_dict["stop"]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: D102
        trainer.should_stop = self._stop

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Copy the log, because a kill may come before Lightning passes it to the logger after this hook."""
        kill_point("epoch end")
        logged = open_rows(trainer)
        before = {name for earlier in logged for name in earlier}  # the validation's, which has a row of its own
        row = {name: float(value) for name, value in trainer.logged_metrics.items() if name not in before}
        self.rows += [*logged, {**row, "epoch": trainer.current_epoch, "step": trainer.global_step - 1}]
        self._between, self._epochs = trainer.fit_loop.state_dict(), trainer.current_epoch + 1

    def keep_constants(self, model: LightningModule) -> None:
        """Store constant buffers before other callbacks end the fit, because some of them average all buffers.

        An average of equal values is rounded, and buffers that are not persistent are in no checkpoint.
        """
        persistent = model.state_dict()
        self._constants = {name: b.clone() for name, b in model.named_buffers() if name not in persistent}

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: D102
        for name, buffer in pl_module.named_buffers():
            if name in self._constants:
                buffer.copy_(self._constants[name])

    def save_between_epochs(self, trainer: Trainer) -> None:
        """Save before an epoch begins."""
        if self._between is not None:
            self._save(trainer, {})

    def save_ended(self, trainer: Trainer) -> None:
        """Save after a fit and all its hooks have ended."""
        kill_point("fit ended")
        self._between = None
        assert trainer.lightning_module is not None
        self._save(trainer, {"weights": trainer.lightning_module.state_dict()})

    def _save(self, trainer: Trainer, more: dict[str, Any]) -> None:
        """Save on all processes or on none."""
        now = time.monotonic()
        if not trainer.strategy.broadcast(now - self._saved >= self.seconds):
            return
        self.unsaved = trainer.strategy.broadcast(self._outside_state.of())
        if self.unsaved:
            return
        self._stop = trainer.should_stop
        self._saving = {**self._origin, "seconds": self._spent + now - self._started, "rows": list(self.rows), **more}
        trainer.save_checkpoint(self.path)
        self._saving = None
        self.failed = getattr(trainer.strategy.checkpoint_io, "failed", None)
        self._saved = time.monotonic()
        kill_point("fit saved")


class _EpochStart(Callback):
    """Runs before all other callbacks; a Checkpoint runs after them."""

    def __init__(self, checkpoint: FitCheckpoint) -> None:
        self._checkpoint = checkpoint

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._checkpoint.save_between_epochs(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._checkpoint.keep_constants(pl_module)
