"""Failures of the machine and of options, reported in one sentence."""

import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException

from msal_lightning.errors import UserError

# Messages of Lightning and torch about options, which have no exception class of their own
_ABOUT_OPTIONS = re.compile(r"Early stopping conditioned on metric|Tried to step \d+ times|SWA |gradient clipping")
_SIGNAL_COMES = 0.2  # seconds


@contextmanager
def explained(num_workers: int) -> Iterator[None]:
    """Convert a killed loader worker and a full device memory into UserError; finished rounds are recorded.

    Args:
        num_workers: number of processes that read images.

    Raises:
        UserError: a worker was killed, or the device is out of memory.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise UserError(
            f"the device ran out of memory ({str(error).partition('. ')[0]}): set data.eval_batch_size to a lower "
            "number (auto takes up to 4,000), and the same command resumes the run; or lower data.batch_size, with "
            "another run_dir"
        ) from error
    except (RuntimeError, ConnectionError, EOFError) as error:
        if not num_workers or not is_lost_worker(error):
            raise
        _hide_half_made_loaders()
        time.sleep(_SIGNAL_COMES)  # Ctrl-C and the end of a job reach all processes of a group, perhaps workers first
        raise UserError(
            "a process that reads images was killed, probably because memory is short: lower data.num_workers or free "
            "memory, and the same command resumes the run"
        ) from error


def _hide_half_made_loaders() -> None:
    """Keep Python from printing a traceback when it deletes a loader's iterator whose constructor a lost worker ended.

    The iterator's clean-up then looks for attributes that it never got.
    """
    if sys.unraisablehook is not sys.__unraisablehook__:
        return

    def show(error: "sys.UnraisableHookArgs") -> None:
        name = getattr(error.object, "__qualname__", "")
        if not (error.exc_type is AttributeError and name == "_MultiProcessingDataLoaderIter.__del__"):
            sys.__unraisablehook__(error)

    sys.unraisablehook = show


def is_lost_worker(error: BaseException | None) -> bool:
    """Return whether an error means that a process that reads images is gone.

    If a worker dies while Lightning makes its iterator, Lightning's clean-up raises another error; the first error in
    its context is decisive.
    """
    while error is not None:
        if isinstance(error, ConnectionError | EOFError):
            return True
        if isinstance(error, RuntimeError) and "DataLoader worker" in str(error):
            return True
        error = error.__context__
    return False


@contextmanager
def refused_by_lightning(*also: type[Exception]) -> Iterator[None]:
    """Convert Lightning's errors about options of the Trainer, callbacks and schedules into UserError.

    Args:
        *also: further exception classes that concern options; a Trainer's constructor raises many kinds.

    Raises:
        UserError: an option does not work.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if not isinstance(error, (MisconfigurationException, *also)) and not _ABOUT_OPTIONS.search(str(error)):
            raise
        said = " ".join(str(error).split()).rstrip(".")
        if found := re.search(r"Errors: - (.+?) - (?:Not a valid|Expected) ", said):  # from the options' parser
            said = found[1]
        remedy = "change trainer.*, or the class that it names"
        if "ntasks" in said:
            remedy = "start the command with srun, or unset SLURM_NTASKS in an interactive shell"
        if "Timer(duration=" in said:  # valid durations are rejected too
            said, remedy = f"trainer.max_time: {said}", "leave it out, and set trainer.max_epochs or trainer.max_steps"
        raise UserError(f"Lightning rejects an option ({said}): {remedy}") from error
