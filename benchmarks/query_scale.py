"""Queries over large pools: seconds and memory beyond what making the pool costs, each case in a process of its own.

    python benchmarks/query_scale.py

Streaming cases have 1,000,000 rows × 10 classes of synthetic logits in batches of 1,000, b = 500; the others 60,000
embeddings of 512 values and their logits, b = 250. Memory is the peak of the process over what it had before the
query: for streaming cases before the first batch was made, for the others with the pool and its labeled set of 1,000 in
memory.
"""

import argparse
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from msal_lightning import select_indices
from msal_lightning.pool import PoolOutputs
from msal_lightning.strategies import (
    BADGE,
    DBAL,
    MSALD,
    Entropy,
    KCenter,
    KMeans,
    Margin,
    ProbCover,
    Strategy,
    TypiClust,
)

STREAMING: dict[str, Strategy] = {"MSALD": MSALD(), "Entropy": Entropy(), "Margin": Margin()}
HELD: dict[str, tuple[Strategy, int]] = {
    "KCenter": (KCenter(), 10),
    "BADGE": (BADGE(), 10),
    "BADGE, 200 classes": (BADGE(), 200),
    "KMeans": (KMeans(), 10),
    "DBAL": (DBAL(), 10),
    "TypiClust": (TypiClust(), 10),
    "ProbCover": (ProbCover(), 10),
}


def stream(rows: int = 1_000_000, batch: int = 1_000, num_classes: int = 10) -> Iterator[PoolOutputs]:
    """A pool of synthetic logits, made batch by batch."""
    generator = torch.Generator().manual_seed(0)
    for start in range(0, rows, batch):
        logits = 3 * torch.randn(batch, num_classes, generator=generator)
        yield PoolOutputs(torch.arange(start, start + batch), logits=logits)


def held(strategy: Strategy, num_classes: int, rows: int, first: int, width: int = 512) -> PoolOutputs:
    """Embeddings around class centers, and the logits of these."""
    generator = torch.Generator().manual_seed(first)
    centers = torch.randn(num_classes, width, generator=torch.Generator().manual_seed(1))
    true = torch.randint(num_classes, (rows,), generator=generator)
    embeddings, logits = torch.empty(rows, width), torch.empty(rows, num_classes)
    for part in torch.split(torch.arange(rows), 1_000):  # in parts: making the pool must not be the peak
        embeddings[part] = centers[true[part]] + 2 * torch.randn(len(part), width, generator=generator)
        logits[part] = embeddings[part] @ centers.T / 100
    outputs = {"embeddings": embeddings, "logits": logits}
    needs = {name: outputs[name] for name in strategy.needs}
    return PoolOutputs(torch.arange(first, first + rows), **needs)


def peak() -> float:
    """Largest memory of this process so far, MB; Linux only."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def current() -> float:
    """Memory of this process now, MB; Linux only."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def measure(name: str) -> None:
    """Print one row."""
    generator = torch.Generator().manual_seed(0)
    if name in STREAMING:
        warm = list(stream(rows=10_000))
        select_indices(STREAMING[name], warm, None, 500, generator)
        start = time.perf_counter()
        for _ in stream():
            pass
        making = time.perf_counter() - start
        before, start = current(), time.perf_counter()
        select_indices(STREAMING[name], stream(), None, 500, generator)
        seconds, memory = time.perf_counter() - start - making, peak() - before
    else:
        strategy, num_classes = HELD[name]
        pool = held(strategy, num_classes, 60_000, 1_000)
        labeled = held(strategy, num_classes, 1_000, 0) if strategy.needs_labeled else None
        before, start = current(), time.perf_counter()
        select_indices(strategy, [pool], labeled, 250, generator)
        seconds, memory = time.perf_counter() - start, peak() - before
    print(f"{name:20} {seconds:10.2f} {memory:10.0f}")


def main() -> None:
    """Print one line per strategy."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", nargs="?", choices=[*STREAMING, *HELD], help="one case in this process (default: all)")
    case = parser.parse_args().case
    if case:
        measure(case)
        return
    print(f"{torch.get_num_threads()} threads\n{'strategy':20} {'seconds':>10} {'MB above':>10}", flush=True)
    for name in (*STREAMING, *HELD):
        subprocess.run([sys.executable, __file__, name], check=True)


if __name__ == "__main__":
    main()
