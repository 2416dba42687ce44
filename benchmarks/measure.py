"""What every benchmark shares: calls timed in turn, and a row of the table."""

import importlib
import os
import platform
import statistics
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import torch

RUNS = 5


@dataclass(frozen=True)
class Ratio:
    """Ratios of calls that were timed in turn.

    Attributes:
        median: of all of them.
        low: the smallest.
        high: the largest.
    """

    median: float
    low: float
    high: float

    def __rmul__(self, factor: float) -> "Ratio":
        """Scale all three."""
        return Ratio(factor * self.median, factor * self.low, factor * self.high)


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        case: what was measured.
        figures: what was seen, each with its unit.
        value: what the target is about, usually a ratio of two of the figures.
        target: the value aimed at; None: shown for orientation.
        at_least: the value should be no less than the target; otherwise no more.
    """

    case: str
    figures: dict[str, float]
    value: float | Ratio
    target: float | None = None
    at_least: bool = True

    @property
    def met(self) -> str:
        """Whether the target was reached: yes, no, or not resolved; empty without a target.

        The answer is "not resolved" where the ratios spread wider than their median is away from the target.
        """
        if self.target is None:
            return ""
        value = self.value.median if isinstance(self.value, Ratio) else self.value
        if isinstance(self.value, Ratio) and self.value.high - self.value.low > abs(value - self.target):
            return "not resolved"
        return "yes" if (value >= self.target if self.at_least else value <= self.target) else "no"


def seconds(call: Callable[[], object]) -> float:
    """Wall time of one call, the device's work included."""
    start = time.perf_counter()
    call()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def in_turn(calls: Mapping[str, Callable[[], object]], runs: int = RUNS) -> dict[str, list[float]]:
    """Seconds of each call, A B A B, after one round that is not counted."""
    rounds = [{name: seconds(call) for name, call in calls.items()} for _ in range(runs + 1)][1:]
    return {name: [times[name] for times in rounds] for name in calls}


def ratio(above: list[float], below: list[float]) -> Ratio:
    """Compare two calls by the ratios of neighbours: what slows the machine down for a while slows both."""
    ratios = [a / b for a, b in zip(above, below, strict=True)]
    return Ratio(statistics.median(ratios), min(ratios), max(ratios))


def peak_megabytes() -> float:
    """Largest memory of this process so far; Linux only."""
    # getrusage would begin with that of the process that started this one
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) * 1024 / 1e6


def device() -> str:
    """Where models run."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def measure(name: str) -> dict[str, Any]:
    """Run one benchmark in this process."""
    start, load = time.time(), os.getloadavg()[0]
    rows: list[Row] = importlib.import_module(f"benchmarks.{name}").run()
    return {
        "machine": machine(),
        "load_before": round(load, 2),
        "date": time.strftime("%Y-%m-%d", time.localtime(start)),
        "minutes": round((time.time() - start) / 60, 1),
        "rows": [{**asdict(row), "met": row.met} for row in rows],
    }


def machine() -> str:
    """What it ran on, in a line."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    cpu = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
    gpu = f", {torch.cuda.get_device_name()}" if device() == "cuda" else ", no GPU"
    return f"{cpu}, {torch.get_num_threads()} threads{gpu}, torch {torch.__version__.partition('+')[0]}"


class PeakMemory:
    """Within it, the anonymous memory of this process is watched.

    Attributes:
        before: GB at its start.
        peak: GB at most, seen 20 times a second.
    """

    def __enter__(self) -> Self:
        self.before = self.peak = _anonymous()
        self._done = threading.Event()
        self._watching = threading.Thread(target=self._watch)
        self._watching.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._watching.join()

    def _watch(self) -> None:
        while not self._done.wait(0.05):
            self.peak = max(self.peak, _anonymous())


def _anonymous() -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.partition("RssAnon:")[2].split()[0]) * 1024 / 1e9
