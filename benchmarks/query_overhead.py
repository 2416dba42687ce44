"""What a query costs beyond the pass over the pool: scores, shortlist and selection, of 60,000 images (conv7)."""

import statistics
import time
from typing import Any

from benchmarks.images import RandomImages, model
from benchmarks.measure import RUNS, Row
from benchmarks.pool_pass import query
from msal_lightning import Query
from msal_lightning.strategies import MSAL, MSALD, Entropy, Margin

IMAGES = 60_000


class TimedQuery(Query):
    """Adds up the time in its own hooks, and knows that of the whole pass."""

    beyond = whole = 0.0

    def on_predict_start(self, *args: Any) -> None:
        """The pass begins."""
        self._began = time.perf_counter()
        super().on_predict_start(*args)

    def on_predict_batch_end(self, *args: Any, **kwargs: Any) -> None:
        """Score a batch."""
        start = time.perf_counter()
        super().on_predict_batch_end(*args, **kwargs)
        self.beyond += time.perf_counter() - start

    def on_predict_end(self, *args: Any) -> None:
        """Score the last one, and select; the pass ends."""
        start = time.perf_counter()
        super().on_predict_end(*args)
        self.beyond += time.perf_counter() - start
        self.whole = time.perf_counter() - self._began


def run() -> list[Row]:
    """Shares of the pass; the difference between two whole queries is smaller than the machine's noise."""
    data, network = RandomImages(28, 1, IMAGES), model("conv7", 1)
    data.setup()
    strategies = {"Entropy": Entropy(), "Margin": Margin(), "MSAL": MSAL(), "MSALD": MSALD()}
    seen: dict[str, list[TimedQuery]] = {name: [] for name in strategies}
    for _ in range(RUNS):
        for name, strategy in strategies.items():
            rider = query(network, data, strategy, TimedQuery)
            assert isinstance(rider, TimedQuery)
            seen[name].append(rider)
    beyond = {name: statistics.median(rider.beyond for rider in riders) for name, riders in seen.items()}
    passes = statistics.median(rider.whole - rider.beyond for riders in seen.values() for rider in riders)
    rows = [
        Row(
            f"{name}: scores, shortlist and selection, share of the pass",
            {"pass s": passes, "beyond it ms": 1e3 * seconds},
            seconds / passes,
            0.01,
            at_least=False,
        )
        for name, seconds in beyond.items()
    ]
    more = (beyond["MSALD"] - beyond["Entropy"]) / (passes + beyond["Entropy"])
    figures = {"Entropy ms": 1e3 * beyond["Entropy"], "MSALD ms": 1e3 * beyond["MSALD"]}
    return [*rows, Row("MSALD beyond Entropy's whole query, share", figures, more, 0.01, at_least=False)]
