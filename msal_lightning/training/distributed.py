"""The processes of one run: one for each device, all doing the same, one of them selecting and writing."""

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

# what gloo and NCCL say when a process at the other end is gone
_LOST = re.compile(r"closed by peer|reset by peer|broken pipe|gloo|nccl|socket", re.IGNORECASE)
_LAUNCHED_BY = "MSAL_LIGHTNING_LAUNCHED_BY"  # in the environment of processes that rank 0 of a machine starts
_OF_EACH_MACHINE = ("NODE_RANK", "MASTER_ADDR", "MASTER_PORT")  # that Lightning needs where nobody launches
_PATIENCE = timedelta(days=7)  # rank 0 may select for hours; a process that ends is noticed at once all the same


class Ranks:
    """One process until :meth:`connect` joins those of a Trainer.

    With one process every method is the identity. Rank 0 decides, writes and speaks; the others follow it.

    Attributes:
        rank: of this process, from 0.
        size: number of processes.
        launched_here: this process was started by rank 0 of its machine, which also ends it.
    """

    def __init__(self) -> None:
        self.rank, self.size, self.launched_here = 0, 1, False
        self._group: Any = None
        self._children: list[Any] = []

    def connect(self, trainer: Trainer) -> Self:
        """Start the processes that the Trainer asks for, if nobody has, and connect them.

        Raises:
            UserError: a strategy whose processes come and go with each fit.
        """
        check_launcher(trainer)
        if trainer.world_size == 1:
            return self
        strategy = trainer.strategy
        environment = getattr(strategy, "cluster_environment", None)
        self.launched_here = isinstance(environment, LightningEnvironment) and trainer.local_rank > 0
        if self.launched_here:
            # the parent may have ended while this process was still importing: ask who it was, not who it is
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
        """The processes of a Trainer that has started them; called on each of them."""
        ranks = cls()
        if trainer.world_size > 1:
            ranks._join(trainer)
        return ranks

    def _join(self, trainer: Trainer) -> None:
        self.rank, self.size = trainer.global_rank, trainer.world_size
        # beside the devices' own: objects in host memory, and no watchdog while rank 0 selects
        self._group = dist.new_group(backend="gloo", timeout=_PATIENCE)

    @property
    def is_zero(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def gather(self, value: T) -> list[T]:
        """The values of all ranks, in order, on rank 0; nothing on the others."""
        if self.size == 1:
            return [value]
        values: list[Any] | None = [None] * self.size if self.is_zero else None
        dist.gather_object(value, values, dst=0, group=self._group)
        return values or []

    def on_zero(self, do: Callable[[], T]) -> T:
        """Do something on rank 0 only.

        Returns:
            What it gave, on every rank.

        Raises:
            UserError: rank 0 met a user's mistake; raised on every rank, told by rank 0.
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
        """Make sure that all ranks hold the same; otherwise they would wait for each other or learn different things.

        Args:
            value: a digest of it.
            what: its name.

        Raises:
            UserError: on every rank.
        """
        values = self.gather(value)

        def check() -> None:
            if other := [str(rank) for rank, theirs in enumerate(values) if theirs != value]:
                raise UserError(
                    f"expected the same {what} on all {self.size} processes, got another one on rank "
                    f"{', '.join(other)}: give every machine the same files in data.root and the same configuration"
                )

        self.on_zero(check)

    def disconnect(self) -> None:
        """End the connection, after which the processes may end in any order; nothing is asked of the others any more.

        A process that ends with it open can abort: what a Trainer's fit leaves in order may not have run yet.
        """
        if self.size > 1:
            dist.barrier(group=self._group)
            dist.destroy_process_group()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """After an error: end the processes that were started here, which would wait for this one."""
        if error is None:
            return
        for child in self._children:
            child.kill()
        self._children.clear()  # so that Lightning's observer does not take their end for a failure and kill this one
        if self.size > 1 and lost(error):
            raise UserError(
                f"process {self.rank} of {self.size} lost the others: one of them ended, and said why above or in its "
                "log; the same command goes on",
                reported=self.launched_here,
            ) from error


def check_launcher(trainer: Trainer) -> None:
    """Refuse strategies whose processes come and go with each fit, and machines that nobody starts.

    Raises:
        UserError: ddp_spawn, ddp_fork or ddp_notebook; several machines without what connects them.
    """
    environment = getattr(trainer.strategy, "cluster_environment", None)
    missing = [name for name in _OF_EACH_MACHINE if name not in os.environ]
    if trainer.num_nodes > 1 and isinstance(environment, LightningEnvironment) and missing:
        raise UserError(  # it would wait for the others for ever
            f"expected a launcher that starts the command on all machines, with trainer.num_nodes {trainer.num_nodes}, "
            f"got none and no {', '.join(missing)} in the environment: start it with srun or torchrun, set these "
            "variables on each machine, or leave trainer.num_nodes out"
        )
    if starts_processes_anew(trainer):
        raise UserError(
            "trainer.strategy ddp_spawn, ddp_fork and ddp_notebook lose what their processes learn when a fit ends: "
            "set trainer.strategy to ddp and run it as a command, or trainer.devices to 1 in a notebook"
        )


def _end_with(parent: int) -> None:
    """End when rank 0 is gone; what waits to be connected to it would notice after half an hour only."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def lost(error: BaseException) -> bool:
    """Whether an error says that another process is gone."""
    return isinstance(error, RuntimeError) and bool(_LOST.search(str(error)))
