"""`select` on features in one file: seconds and memory at 1,000,000 rows."""

import multiprocessing
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.features import WIDTH, write
from benchmarks.measure import PeakMemory, Row
from msal_lightning import MSALHeadClassifier, select

ROWS, LABELED, CHOSEN = 1_000_000, 1_000, 1_000
STRATEGIES = {"Entropy": CHOSEN, "MSALD": CHOSEN, "BADGE": CHOSEN, "KCenter": CHOSEN, "KMeans": 100, "TypiClust": 100}


def measured(
    folder: str, strategy: str, n: int, queue: "multiprocessing.SimpleQueue[tuple[float, float, float]]"
) -> None:
    """In a process of its own: seconds of a query, and anonymous memory before it and at most."""
    features, labels = (np.load(f"{folder}/pool/{name}.npy", mmap_mode="r") for name in ("features-000", "labels"))
    labeled = np.random.default_rng(0).permutation(ROWS)[:LABELED]
    head = MSALHeadClassifier(standardize=False).fit(features[labeled], labels[labeled])
    logits = head.decision_function(features)
    with PeakMemory() as memory:
        start = time.perf_counter()
        select(strategy, n=n, features=features, logits=logits, labeled=labeled)
        seconds = time.perf_counter() - start
    queue.put((seconds, memory.before, memory.peak))


def run() -> list[Row]:
    """Each strategy once."""
    context = multiprocessing.get_context("spawn")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder) / "pool", ROWS, 2, num_files=1)
        for strategy, n in STRATEGIES.items():
            queue = context.SimpleQueue()
            process = context.Process(target=measured, args=(folder, strategy, n, queue))
            process.start()
            seconds, before, peak = queue.get()
            process.join()
            case = f"{ROWS:,} × {WIDTH} float16, {LABELED:,} labels, n = {n:,}, {strategy}"
            rows.append(Row(f"{case}: s", {}, seconds, 600.0, at_least=False))
            rows.append(Row(f"{case}: GB of anonymous memory", {"before": before}, peak, 2.0, at_least=False))
    return rows
