"""Shards on a Ray cluster. A lost node costs the rows since its last piece; the bytes stay the same."""

import os
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from msal_lightning.data.features.manifest import read_manifest
from msal_lightning.embed.plan import check_same, machine_change
from msal_lightning.embed.progress import EmbedProgress
from msal_lightning.embed.run import Embedding
from msal_lightning.embed.shard import WORK, Shard
from msal_lightning.errors import ConfigError, UserError
from msal_lightning.training.ray_cluster import check_room, connect_ray, python_path

STOP = "stop"
"""File in the folder of the pieces; the tasks end when it exists."""
_WAIT = 0.2  # seconds between two looks at the tasks
_SAVING = 30.0  # seconds that tasks have to save their rows


class Work(Protocol):
    """What a node makes from the words of the command."""

    @property
    def embedding(self) -> Embedding:
        """The shards."""

    @property
    def manifest(self) -> Callable[[dict[str, Any]], dict[str, Any]]:
        """Makes the manifest that this node would write from what is known about the source."""


Make = Callable[[tuple[str, ...]], Work]


class _StopRequestedError(Exception):
    """The driver wants the tasks to end."""


class Cluster:
    """Runs the shards of one command as tasks of Ray, each on some cores or a share of a GPU.

    Args:
        make: function of a module that makes the work from the words of the command, on any node.
        words: the words.
        cpus: cores of a task.
        gpus: GPUs of a task, also a fraction.

    Raises:
        ConfigError: Ray is not installed, there is no cluster at RAY_ADDRESS, or no node has room for a task.
    """

    def __init__(self, make: Make, words: tuple[str, ...], cpus: int, gpus: float) -> None:
        self._ray = connect_ray("--executor", "local")
        check_room(self._ray, cpus, gpus)
        self._where = (make, words, str(Path.cwd()), python_path())
        environment = {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(cpus))}
        options = {"num_cpus": cpus, "num_gpus": gpus, "runtime_env": {"env_vars": environment}}
        self._describe = self._ray.remote(**options, max_retries=-1)(describe)
        # a task that a UserError ends returns its sentence, so Ray retries only after a lost node or worker
        self._run = self._ray.remote(**options, max_retries=-1)(run_shard)

    def manifest(self, source: dict[str, Any]) -> dict[str, Any]:
        """Return the manifest that a node would write.

        Raises:
            ConfigError: the node cannot make the model.
        """
        found: dict[str, Any] | str = self._ray.get(self._describe.remote(*self._where, source))
        if isinstance(found, str):
            raise ConfigError(found)
        return found

    def compute(self, embedding: Embedding, check: Callable[[], None], progress: EmbedProgress) -> None:
        """Compute all shards that are not finished.

        Args:
            embedding: the shards.
            check: raises if the command shall end.
            progress: is told of each shard.

        Raises:
            UserError: a shard failed; the sentence is its own.
        """
        stop = embedding.out / WORK / STOP
        stop.parent.mkdir(exist_ok=True)
        stop.unlink(missing_ok=True)
        waiting = dict[Any, Shard]()
        for shard in embedding.shards:
            if shard.result() is None:
                waiting[self._run.options(name=shard.name).remote(*self._where, shard.number)] = shard
            else:
                progress.advance(shard.stop - shard.start, computed=False)
        try:
            while waiting:
                done, _ = self._ray.wait([*waiting], num_returns=1, timeout=_WAIT)
                for reference in done:
                    self._end(reference, waiting.pop(reference), progress)
                check()
        except BaseException:
            stop.touch()
            self._ray.wait([*waiting], num_returns=len(waiting), timeout=_SAVING) if waiting else None
            raise

    def close(self) -> None:
        """Leave the cluster; tasks that still run end with it."""
        self._ray.shutdown()

    def _end(self, reference: Any, shard: Shard, progress: EmbedProgress) -> None:
        sentence: str = self._ray.get(reference)
        if sentence:
            raise UserError(sentence)
        progress.advance(shard.stop - shard.start)


def describe(make: Make, words: tuple[str, ...], folder: str, paths: str, source: dict[str, Any]) -> Any:
    """Return the manifest that a node would write, or the sentence of a mistake."""
    try:
        return _made(make, words, folder, paths).manifest(source)
    except UserError as error:
        return str(error)


def run_shard(make: Make, words: tuple[str, ...], folder: str, paths: str, number: int) -> str:
    """Compute a shard on a node.

    Args:
        make: makes the work from the words.
        words: words of the command.
        folder: the current folder of the command.
        paths: its PYTHONPATH.
        number: number of the shard.

    Returns:
        The sentence of a mistake; empty if there is none.
    """
    try:
        work = _made(make, words, folder, paths)
        embedding = work.embedding
        _check_node(work)
        stop, shard = embedding.out / WORK / STOP, embedding.shards[number]

        def check() -> None:
            if stop.exists():
                raise _StopRequestedError

        embedding.compute(shard, check, EmbedProgress(shard.stop - shard.start, shown=False))
    except UserError as error:
        return str(error)
    except _StopRequestedError:
        return "the command was stopped"
    return ""


@cache
def _made(make: Make, words: tuple[str, ...], folder: str, paths: str) -> Work:
    """Make the work once in each process of Ray, which computes many shards."""
    os.chdir(folder)
    sys.path.extend(path for path in (*paths.split(os.pathsep), folder) if path not in sys.path)
    return make(words)


def _check_node(work: Work) -> None:
    """Check that a node computes what the manifest says.

    Raises:
        ConfigError: it has other weights, other libraries, or another device.
    """
    before = read_manifest(work.embedding.out)
    assert before is not None
    now = work.manifest(before["source"])
    check_same(before, now, work.embedding.out)
    if changed := machine_change(before, now):
        raise ConfigError(
            f"expected a node like the first one, got {changed}: choose equal nodes, because features would differ in "
            "their last digits"
        )
