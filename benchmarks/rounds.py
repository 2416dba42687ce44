"""What a round costs that is neither fit nor test nor query: Trainers, the model on disk, the record, the tables."""

import contextlib
import io
import statistics
import tempfile
import time
from collections.abc import Callable

from benchmarks.images import RandomImages, model, trainer_factory
from benchmarks.measure import Row
from msal_lightning import ActiveLoop, LoopOptions, MSALClassifier, RunDirectory
from msal_lightning.runs.records import RoundRecord
from msal_lightning.strategies import MSALD

ROUNDS = 41


class Stopwatch(RunDirectory):
    """Notes when each round became final."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.ends: list[float] = []
        self.phases: list[float] = []

    def commit(self, record: RoundRecord) -> None:
        """The end of a round."""
        super().commit(record)
        self.ends.append(time.perf_counter())
        self.phases.append(sum(record.seconds.values()))


def beyond(rounds: int, new_model: Callable[[], MSALClassifier], size: int = 28) -> list[float]:
    """Seconds of each round but the first, beside fit, test and query, with few images and one step."""
    data = RandomImages(size, 1, 750 + 250 * rounds, test=100)
    data.setup()
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        stopwatch = Stopwatch(folder)
        ActiveLoop(
            new_model,
            lambda **settings: trainer_factory(-1)(**settings, max_steps=1),
            data,
            MSALD(),
            stopwatch,
            LoopOptions(initial_size=500, query_size=250, query_budget=250 * (rounds - 1), pool_limit=500),
        ).run()
    return [
        end - begin - phases
        for begin, end, phases in zip(stopwatch.ends, stopwatch.ends[1:], stopwatch.phases[1:], strict=False)
    ]


def run() -> list[Row]:
    """ResNet-18, 41 rounds as on MNIST."""
    seconds = beyond(ROUNDS, lambda: model("conv7", 1))
    figures = {"median s": statistics.median(seconds), "last round s": seconds[-1], "slowest s": max(seconds)}
    return [Row("ResNet-18, a round of 41, seconds", figures, figures["median s"], 0.3, at_least=False)]
