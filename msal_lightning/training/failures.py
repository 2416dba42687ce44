"""What the machine does to a run, said in one sentence."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException

from msal_lightning.errors import UserError

# What Lightning and torch raise without an exception class of their own, about an option that a user has set
_ABOUT_OPTIONS = re.compile(r"Early stopping conditioned on metric|Tried to step \d+ times|SWA |gradient clipping")
_SIGNAL_COMES = 0.2  # seconds


@contextmanager
def explained(num_workers: int) -> Iterator[None]:
    """Turn a killed loader worker and a full device memory into a user's error; the finished rounds are recorded.

    Args:
        num_workers: processes that read images.

    Raises:
        UserError: one of the two happened.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise UserError(
            f"the device ran out of memory ({str(error).partition('. ')[0]}): lower data.eval_batch_size, and "
            "the same command goes on, or data.batch_size, with another run_dir"
        ) from error
    except (RuntimeError, ConnectionError, EOFError) as error:
        if not num_workers or not is_lost_worker(error):
            raise
        time.sleep(
            _SIGNAL_COMES
        )  # Ctrl-C and the end of a job go to all processes of a group, to workers first perhaps
        raise UserError(
            "a process that reads images was killed, by the system when memory is short: lower data.num_workers or "
            "make room, and the same command goes on"
        ) from error


def is_lost_worker(error: BaseException | None) -> bool:
    """Whether an error says that a process that reads images is gone.

    A worker that dies while Lightning makes its iterator shows as an error of Lightning's own clean-up: the first one,
    which it was handling, tells.
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
    """Turn what Lightning says about options of the Trainer, callbacks and schedules into a user's error.

    Args:
        *also: further exceptions that are about options here; a Trainer's constructor raises many kinds.

    Raises:
        UserError: an option cannot work.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if not isinstance(error, (MisconfigurationException, *also)) and not _ABOUT_OPTIONS.search(str(error)):
            raise
        said = " ".join(str(error).split()).rstrip(".")
        if found := re.search(r"Errors: - (.+?) - (?:Not a valid|Expected) ", said):  # of the options' parser
            said = found[1]
        remedy = "change trainer.*, or what it names"
        if "ntasks" in said:
            remedy = "start the command with srun, or unset SLURM_NTASKS in an interactive shell"
        if "Timer(duration=" in said:  # a duration that could be read is refused too
            said, remedy = f"trainer.max_time: {said}", "leave it out, and set trainer.max_epochs or trainer.max_steps"
        raise UserError(f"Lightning refuses an option ({said}): {remedy}") from error
