"""Processes that share one device, each with a run of its own."""

import contextlib
import io
import multiprocessing
import tempfile
import time
from multiprocessing.synchronize import Barrier
from typing import Any, NamedTuple

from benchmarks.images import RandomImages, model, trainer_factory
from msal_lightning import ActiveLoop, LoopOptions, MSALClassifier, RunDirectory
from msal_lightning.models.backbones import SmallCNN
from msal_lightning.strategies import MSALD

_START = 120  # seconds for all processes to be ready, and for each to end


class Work(NamedTuple):
    """A run of three rounds; the first one is the warm-up.

    Attributes:
        stem: of the network.
        pixels: of a side.
        channels: of an image.
        labels: of the first round.
        query: labels of each query.
        test: images of the test set.
        batch: images of a step.
        epochs: of each fit.
        tiny: another, small network.
    """

    stem: str
    pixels: int
    channels: int
    labels: int
    query: int
    test: int
    batch: int
    epochs: int
    tiny: bool

    def new_model(self) -> MSALClassifier:
        """A fresh model."""
        if self.tiny:
            return MSALClassifier(10, self.channels, lambda channels: SmallCNN(channels, width=2))
        return model(self.stem, self.channels)


class Meeting(RunDirectory):
    """A run whose first round ends for all processes together."""

    barrier: Barrier
    ends: list[float]

    def commit(self, record: Any) -> None:
        """Note the time; after the first round, when all others have ended theirs."""
        super().commit(record)
        if not self.ends:
            self.barrier.wait(_START)
        self.ends.append(time.time())


def one_run(work: Work, barrier: Barrier, queue: Any) -> None:
    """In a process: run, and send begin and end of the rounds after the first."""
    data = RandomImages(work.pixels, work.channels, work.labels + 8 * work.query, test=work.test, batch_size=work.batch)
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        run = Meeting(folder)
        run.barrier, run.ends = barrier, []
        ActiveLoop(
            work.new_model,
            trainer_factory(work.epochs),
            data,
            MSALD(),
            run,
            LoopOptions(work.labels, work.query, 2 * work.query, keep_checkpoints="none"),
        ).run()
    queue.put((run.ends[0], run.ends[-1]))


def together(work: Work, processes: int) -> float:
    """Trained images a second of all processes, from the end of their first rounds to the end of the last."""
    # a CUDA device cannot be used in a fork; the tiny work of a test needs none, and a fork saves the imports
    context = multiprocessing.get_context("fork" if work.tiny else "spawn")
    barrier, queue = context.Barrier(processes), context.Queue()
    runs = [context.Process(target=one_run, args=(work, barrier, queue), daemon=True) for _ in range(processes)]
    for run in runs:
        run.start()
    times = [queue.get(timeout=_START) for _ in runs]
    for run in runs:
        run.join()
    images = work.epochs * sum(work.labels + k * work.query for k in (1, 2))
    return processes * images / (max(end for _, end in times) - min(begin for begin, _ in times))
