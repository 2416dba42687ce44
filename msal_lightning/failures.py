"""What the machine does to a run, said in one sentence."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from msal_lightning.errors import UserError


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
        if not num_workers or ("DataLoader worker" not in str(error) and isinstance(error, RuntimeError)):
            raise
        raise UserError(
            "a process that reads images was killed, by the system when memory is short: lower data.num_workers or "
            "make room, and the same command goes on"
        ) from error
