"""The processes of one run: one for each device; all run the same loop, and rank 0 selects and writes."""

import os
import re
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from types import TracebackType
from typing import Any, Self, TypeVar

import torch.distributed as dist
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch import Trainer

from msal_lightning.compat import starts_processes_anew
from msal_lightning.errors import UserError

T = TypeVar("T")

# messages of gloo and NCCL when another process is gone
_LOST = re.compile(r"closed by peer|reset by peer|broken pipe|gloo|nccl|socket", re.IGNORECASE)
_LAUNCHED_BY = "MSAL_LIGHTNING_LAUNCHED_BY"  # environment variable of processes that rank 0 of a machine starts
_OF_EACH_MACHINE = ("NODE_RANK", "MASTER_ADDR", "MASTER_PORT")  # variables that Lightning needs without a launcher
_PATIENCE = timedelta(days=7)  # rank 0 may select for hours; the end of a process is noticed at once anyway


class Ranks:
    """One process until :meth:`connect` joins those of a Trainer.

    With one process every method is the identity. Rank 0 decides, writes and prints; the others follow it.

    Attributes:
        rank: rank of this process, from 0.
        size: number of processes.
        launched_here: whether rank 0 of this machine started this process and will end it.
    """

    def __init__(self) -> None:
        self.rank, self.size, self.launched_here = 0, 1, False
        self._group: Any = None
        self._children: list[Any] = []

    def connect(self, trainer: Trainer) -> Self:
        """Start the Trainer's processes if no launcher has started them, and connect them.

        Raises:
            UserError: the Trainer's strategy starts new processes for each fit.
        """
        check_launcher(trainer)
        if trainer.world_size == 1:
            return self
        strategy = trainer.strategy
        environment = getattr(strategy, "cluster_environment", None)
        self.launched_here = isinstance(environment, LightningEnvironment) and trainer.local_rank > 0
        if self.launched_here:
            # the parent may have ended while this process was importing, so use its recorded id
            parent = int(os.environ.get(_LAUNCHED_BY, os.getppid()))
            threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
        else:
            os.environ[_LAUNCHED_BY] = str(os.getpid())
        if strategy.launcher is not None:
            strategy.launcher.launch(strategy.setup_environment)
            self._children = getattr(strategy.launcher, "procs", [])
        else:
            strategy.setup_environment()
        self._join(trainer)
        return self

    @classmethod
    def of(cls, trainer: Trainer) -> Self:
        """Connect the processes that a Trainer has started; call this on each process."""
        ranks = cls()
        if trainer.world_size > 1:
            ranks._join(trainer)
        return ranks

    def _join(self, trainer: Trainer) -> None:
        self.rank, self.size = trainer.global_rank, trainer.world_size
        # a second group for objects in host memory, without a watchdog while rank 0 selects
        self._group = dist.new_group(backend="gloo", timeout=_PATIENCE)

    @property
    def is_zero(self) -> bool:
        """Whether this process writes."""
        return self.rank == 0

    def gather(self, value: T) -> list[T]:
        """Return the values of all ranks, in order, on rank 0; an empty list on the others."""
        if self.size == 1:
            return [value]
        values: list[Any] | None = [None] * self.size if self.is_zero else None
        dist.gather_object(value, values, dst=0, group=self._group)
        return values or []

    def on_zero(self, do: Callable[[], T]) -> T:
        """Call a function on rank 0 only.

        Returns:
            The function's result, on every rank.

        Raises:
            UserError: the function raised it; every rank raises it, and rank 0 reports it.
        """
        if self.size == 1:
            return do()
        message: list[Any] = [None, None]
        if self.is_zero:
            try:
                message[0] = do()
            except UserError as error:
                message[1] = type(error), str(error)
                dist.broadcast_object_list(message, src=0, group=self._group)
                raise
        dist.broadcast_object_list(message, src=0, group=self._group)
        if message[1] is not None:
            kind, sentence = message[1]
            raise kind(sentence, reported=True)
        result: T = message[0]
        return result

    def agree(self, value: str, what: str) -> None:
        """Check that all ranks hold the same value; otherwise they would deadlock or train on different data.

        Args:
            value: digest to compare.
            what: name of the value.

        Raises:
            UserError: the digests differ; raised on every rank.
        """
        values = self.gather(value)

        def check() -> None:
            if other := [str(rank) for rank, theirs in enumerate(values) if theirs != value]:
                raise UserError(
                    f"expected the same {what} on all {self.size} processes, got a different one on rank "
                    f"{', '.join(other)}: give every machine the same files in data.root and the same configuration"
                )

        self.on_zero(check)

    def disconnect(self) -> None:
        """End the connection; afterwards the processes may end in any order.

        A process that ends with an open connection can abort.
        """
        if self.size > 1:
            dist.barrier(group=self._group)
            dist.destroy_process_group()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """After an error, end the processes that were started here, because they would wait for this one."""
        if error is None:
            return
        for child in self._children:
            child.kill()
        self._children.clear()  # otherwise Lightning's observer would see their end as a failure and kill this process
        if self.size > 1 and lost(error):
            raise UserError(
                f"process {self.rank} of {self.size} lost the others: a process ended and reported the reason above or "
                "in its log; the same command resumes the run",
                reported=self.launched_here,
            ) from error


def check_launcher(trainer: Trainer) -> None:
    """Reject strategies that start new processes for each fit, and several machines without a launcher.

    Raises:
        UserError: the strategy is ddp_spawn, ddp_fork or ddp_notebook; or several machines lack a launcher.
    """
    environment = getattr(trainer.strategy, "cluster_environment", None)
    missing = [name for name in _OF_EACH_MACHINE if name not in os.environ]
    if trainer.num_nodes > 1 and isinstance(environment, LightningEnvironment) and missing:
        raise UserError(  # the run would wait for the others forever
            f"expected a launcher that starts the command on all machines, with trainer.num_nodes {trainer.num_nodes}, "
            f"got none and no {', '.join(missing)} in the environment: start it with srun or torchrun, set these "
            "variables on each machine, or leave trainer.num_nodes out"
        )
    if starts_processes_anew(trainer):
        raise UserError(
            "trainer.strategy ddp_spawn, ddp_fork and ddp_notebook lose the trained weights when a fit ends: set "
            "trainer.strategy to ddp and run it as a command, or trainer.devices to 1 in a notebook"
        )


def _end_with(parent: int) -> None:
    """End this process when rank 0 is gone; otherwise it would notice only after half an hour."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def lost(error: BaseException) -> bool:
    """Return whether an error means that another process is gone."""
    return isinstance(error, RuntimeError) and bool(_LOST.search(str(error)))
