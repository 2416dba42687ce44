"""Where an interrupted fit goes on: a checkpoint at ends of epochs, whole or not at all."""

import os
import time
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from msal_lightning.tracking.fit_log import open_rows

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
        part = path.with_name(f".{path.name}.part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with part.open("wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
            self.failed = None
        except (OSError, RuntimeError) as error:  # torch turns some errors of the file into its own
            part.unlink(missing_ok=True)
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
    """

    attempt: int
    epochs: int
    seconds: float
    rows: list[dict[str, float]] = field(default_factory=list)


def load_checked(path: Path) -> dict[str, Any]:
    """Read a checkpoint without running anything in it.

    Raises:
        ValueError: a byte of it has changed.
        Exception: whatever a damaged or foreign file makes of itself.
    """
    with zipfile.ZipFile(path) as archive:
        if bad := archive.testzip():  # torch does not look at the checksums
            raise ValueError(f"wrong checksum of {bad}")
    checkpoint: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return checkpoint


def read_fit(path: Path, origin: Mapping[str, Any]) -> SavedFit | str | None:
    """Look whether a fit can go on.

    Args:
        path: of the checkpoint.
        origin: round, split, configuration and number of processes of the fit to go on with.

    Returns:
        How far it came; why it cannot be used; None where there is none, or one of a round that is finished.
    """
    if not path.exists():
        return None
    try:
        checkpoint = load_checked(path)
        entry = dict(checkpoint[_KEY])
        epochs = int(checkpoint["epoch"]) + 1
        saved = SavedFit(entry.pop("attempt"), epochs, entry.pop("seconds"), entry.pop("rows"))
    except Exception as error:  # whatever a damaged or foreign file makes of itself
        return f"is damaged or not from this program ({type(error).__name__})"
    if entry.get("round", 0) < origin["round"] and entry.get("config") == origin["config"]:
        return None
    entry.setdefault("data", origin.get("data"))  # older versions did not keep it
    if differs := [name for name in origin if entry.get(name) != origin[name]]:
        return f"belongs to another run (its {', '.join(differs)} differ)"
    return saved


class FitCheckpoint(Checkpoint):
    """Saves the fit at the end of an epoch when enough time has passed since the last time.

    Args:
        path: of the file.
        seconds: between two saves, at least.
        origin: what tells this fit from any other, see :func:`read_fit`.
        attempt: which one at this round.
        before: the interrupted fit that this one goes on with.

    Attributes:
        rows: what was logged in the epochs so far.
    """

    def __init__(
        self, path: Path, seconds: float, origin: Mapping[str, Any], attempt: int, before: SavedFit | None = None
    ) -> None:
        self.path = path
        self.seconds = seconds
        self.failed: str | None = None
        self._origin = {**origin, "attempt": attempt}
        self._started = self._saved = time.monotonic()
        self._spent = before.seconds if before else 0.0
        self._stop = False
        self.rows = list(before.rows) if before else []

    def on_save_checkpoint(  # noqa: D102
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        seconds = self._spent + time.monotonic() - self._started
        checkpoint[_KEY] = {**self._origin, "seconds": seconds, "rows": list(self.rows)}

    def state_dict(self) -> dict[str, Any]:
        """Whether another callback had asked for the end of the fit, which Lightning does not keep."""
        return {"stop": self._stop}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:  # noqa: D102
        self._stop = state_dict["stop"]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: D102
        trainer.should_stop = self._stop

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save, on all processes or on none."""
        # Lightning logs this epoch only after this hook, and a kill may leave the logger's file without any row
        row = {name: float(value) for name, value in trainer.logged_metrics.items()}
        self.rows += [*open_rows(trainer), {**row, "epoch": trainer.current_epoch, "step": trainer.global_step - 1}]
        self._stop = trainer.should_stop
        if not trainer.strategy.broadcast(time.monotonic() - self._saved >= self.seconds):
            return
        trainer.save_checkpoint(self.path)
        self.failed = getattr(trainer.strategy.checkpoint_io, "failed", None)
        self._saved = time.monotonic()
