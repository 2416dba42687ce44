"""Where an interrupted fit goes on: a checkpoint between epochs and after the last, whole or not at all."""

import time
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
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

_KEY = "msal_lightning"  # of our entry in a checkpoint


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint beside its place and renames it.

    A write that fails, on a full disk for example, leaves the former file as it was. It is not raised, since other
    processes wait for the end of the write, but kept.

    Attributes:
        failed: why the last write failed; None where it did not.
    """

    failed: str | None = None

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Called by Lightning on the process that writes."""
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
    """Let a Trainer write its checkpoints by :class:`AtomicCheckpointIO`, unless it was given a plugin for that."""
    if type(trainer.strategy.checkpoint_io) is TorchCheckpointIO:
        trainer.strategy.checkpoint_io = AtomicCheckpointIO()


@dataclass(frozen=True)
class SavedFit:
    """A fit that was interrupted.

    Attributes:
        attempt: which one at this round.
        epochs: done.
        seconds: that they took.
        rows: what was logged in them.
        ended: the fit had come to its end, and all hooks of it had run.
    """

    attempt: int
    epochs: int
    seconds: float
    rows: list[dict[str, float]] = field(default_factory=list)
    ended: bool = False


def load_checked(path: Path) -> dict[str, Any]:
    """Read a checkpoint without running anything in it.

    Raises:
        ValueError: a byte of it has changed.
        Exception: whatever a damaged or foreign file makes of itself.
    """
    check_zip(path)
    with zipfile.ZipFile(path) as archive:
        if bad := archive.testzip():  # torch does not look at the checksums
            raise ValueError(f"wrong checksum of {bad}")
    checkpoint: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return checkpoint


def read_fit(path: Path, origin: Mapping[str, Any], former_config: str | None = None) -> SavedFit | str | None:
    """Look whether a fit can go on.

    Args:
        path: of the checkpoint.
        origin: round, split, configuration and number of processes of the fit to go on with.
        former_config: the digest by which an older version knew the same configuration.

    Returns:
        How far it came; why it cannot be used; None where there is none, or one of a round that is finished.
    """
    if not path.exists():
        return None
    try:
        checkpoint = load_checked(path)
        entry = dict(checkpoint[_KEY])
        epochs = int(checkpoint["epoch"]) + 1
        ended = entry.pop("weights", None) is not None
        saved = SavedFit(entry.pop("attempt"), epochs, entry.pop("seconds"), entry.pop("rows"), ended)
    except Exception as error:  # whatever a damaged or foreign file makes of itself
        return f"is damaged or not from this program ({type(error).__name__})"
    if former_config and entry.get("config") == former_config:
        entry["config"] = origin["config"]
    if entry.get("round", 0) < origin["round"] and entry.get("config") == origin["config"]:
        return None
    entry.setdefault("data", origin.get("data"))  # older versions did not keep it
    if differs := [name for name in origin if entry.get(name) != origin[name]]:
        return f"belongs to another run (its {', '.join(differs)} differ)"
    return saved


def resume_fit(
    trainer: Trainer, model: LightningModule, data: LightningDataModule, path: Path, saved: SavedFit
) -> None:
    """Go on with an interrupted fit.

    Args:
        trainer: of the round.
        model: with fresh weights.
        data: of the round.
        path: of the checkpoint.
        saved: what :func:`read_fit` found there.
    """
    if saved.ended:
        trainer.fit_loop.max_epochs = saved.epochs  # however it ended: there is no epoch left
    trainer.fit(model, datamodule=data, ckpt_path=path, weights_only=True)  # weights_only: nothing in the file is run
    if saved.ended:  # hooks at the start and the end of a fit have run for the second time
        model.load_state_dict(load_checked(path)[_KEY]["weights"])


class FitCheckpoint(Checkpoint):
    """Saves the fit between two epochs, and after its end, when enough time has passed since the last time.

    Between two epochs is before any hook of the second one has run. At the end of the first one Lightning has yet to
    step ReduceLROnPlateau. The end of the last epoch is not saved, since Lightning would not run the hooks that follow
    it in a resumed fit: averaged weights, for example, would be lost.

    Args:
        path: of the file.
        seconds: between two saves, at least.
        origin: what tells this fit from any other, see :func:`read_fit`.
        attempt: which one at this round.
        before: the interrupted fit that this one goes on with.

    Attributes:
        rows: what was logged in the epochs so far.
        failed: why the last save failed; None where it did not.
        unsaved: the callback whose state cannot be saved, for which nothing is.
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
        """Let the Trainer call this before any other callback at the start of an epoch."""
        self._outside_state = OutsideState(trainer)
        trainer.callbacks.insert(0, _EpochStart(self))  # type: ignore[attr-defined]
        resume_between_epochs(trainer)

    def on_save_checkpoint(  # noqa: D102
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        if self._saving is None:
            return  # what Lightning saves when SLURM takes the machine away
        if self._between is not None:
            checkpoint["loops"]["fit_loop"] = self._between
        checkpoint["epoch"] = self._epochs - 1
        checkpoint[_KEY] = self._saving

    def state_dict(self) -> dict[str, Any]:
        """Whether another callback had asked for the end of the fit, which Lightning does not keep."""
        return {"stop": self._stop}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:  # noqa: D102
        self._stop = state_dict["stop"]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: D102
        trainer.should_stop = self._stop

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note what was logged: Lightning gives it to the logger after this hook, and a kill may come before."""
        kill_point("epoch end")
        row = {name: float(value) for name, value in trainer.logged_metrics.items()}
        self.rows += [*open_rows(trainer), {**row, "epoch": trainer.current_epoch, "step": trainer.global_step - 1}]
        self._between, self._epochs = trainer.fit_loop.state_dict(), trainer.current_epoch + 1

    def keep_constants(self, model: LightningModule) -> None:
        """Called before the other callbacks' ends of the fit, some of which average all buffers.

        An average of equal values is rounded, and what is not persistent is in no checkpoint.
        """
        persistent = model.state_dict()
        self._constants = {name: b.clone() for name, b in model.named_buffers() if name not in persistent}

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: D102
        for name, buffer in pl_module.named_buffers():
            if name in self._constants:
                buffer.copy_(self._constants[name])

    def save_between_epochs(self, trainer: Trainer) -> None:
        """Called before an epoch begins."""
        if self._between is not None:
            self._save(trainer, {})

    def save_ended(self, trainer: Trainer) -> None:
        """Called after a fit has ended, with all that its hooks did to the weights."""
        kill_point("fit ended")
        self._between = None
        assert trainer.lightning_module is not None
        self._save(trainer, {"weights": trainer.lightning_module.state_dict()})

    def _save(self, trainer: Trainer, more: dict[str, Any]) -> None:
        """On all processes or on none."""
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
    """The first of all callbacks, as a Checkpoint is the last."""

    def __init__(self, checkpoint: FitCheckpoint) -> None:
        self._checkpoint = checkpoint

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._checkpoint.save_between_epochs(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._checkpoint.keep_constants(pl_module)
