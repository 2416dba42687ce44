"""How a query's cost grows with the pool, the classes, the query size and the ranks; draws docs/performance.png."""

import itertools
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.distributed as dist

from benchmarks.measure import Row, peak_megabytes
from msal_lightning import select_indices
from msal_lightning.query.shortlist import StreamingShortlist
from msal_lightning.strategies import BADGE, MSALD, Entropy, KCenter, Strategy
from msal_lightning.strategies.outputs import PoolOutputs

PICTURE = Path(__file__).parent.parent / "docs" / "performance.png"
POOLS = (10_000, 100_000, 1_000_000, 10_000_000)
CLASSES = (10, 100, 1_000, 10_000, 100_000)
SIZES = (10, 100, 1_000, 10_000)
RUNS = 5


def stream(rows: int, num_classes: int = 10, batch: int = 500) -> Iterator[PoolOutputs]:
    """A pool whose batches show 20 different sets of logits: making them must not be what is measured."""
    different = min(20, -(-rows // batch))
    logits = 3 * torch.randn(different, batch, num_classes, generator=torch.Generator().manual_seed(0))
    for k, start in enumerate(range(0, rows, batch)):
        end = min(rows, start + batch)
        yield PoolOutputs(torch.arange(start, end), logits=logits[k % different][: end - start])


def query(strategy: Strategy, batches: Iterator[PoolOutputs], n: int = 500) -> float:
    """Seconds of scores, shortlist and selection."""
    prepared = next(batches)  # makes the logits
    start = time.perf_counter()
    select_indices(strategy, itertools.chain([prepared], batches), None, n, torch.Generator().manual_seed(0))
    return time.perf_counter() - start


def median(call: Callable[[], float], runs: int = RUNS) -> float:
    """Of several runs, after one that is not counted."""
    call()
    return statistics.median(call() for _ in range(runs))


def exponent(x: Sequence[float], seconds: Sequence[float]) -> float:
    """Slope of the line through the logarithms."""
    return float(np.polyfit(np.log(x), np.log(seconds), 1)[0])


def by_pool(strategy: Strategy) -> list[float]:
    """Seconds for each size of the pool, 10 classes."""
    return [median(lambda rows=rows: query(strategy, stream(rows)), 5 if rows < 10**7 else 3) for rows in POOLS]


def by_classes() -> list[float]:
    """Seconds for 10,000 rows of ever more classes."""
    return [median(lambda c=c: query(MSALD(), stream(10_000, c, max(5, min(500, 10**7 // c))))) for c in CLASSES]


def by_query_size(strategy: Strategy, needs: Sequence[str]) -> list[float]:
    """Seconds for ever more picks among 20,000 rows, 10 classes, 64 values an embedding."""
    generator = torch.Generator().manual_seed(0)
    columns = {"logits": torch.randn(20_000, 10, generator=generator), "embeddings": torch.randn(20_000, 64)}
    pool = PoolOutputs(torch.arange(20_000), **{name: columns[name] for name in needs})
    labeled = PoolOutputs(torch.arange(20_000, 20_100), embeddings=torch.randn(100, 64))
    labeled = labeled if strategy.needs_labeled else None  # type: ignore[assignment]

    def once(n: int) -> float:
        start = time.perf_counter()
        select_indices(strategy, [pool], labeled, n, torch.Generator().manual_seed(0))
        return time.perf_counter() - start

    return [median(lambda n=n: once(n), 3) for n in SIZES]


def memory() -> dict[int, float]:
    """MB above the batches, for the smallest and the largest pool."""
    seen = {}
    for rows in (POOLS[0], POOLS[-1]):
        batches = stream(rows)
        first = next(batches)
        before = peak_megabytes()
        select_indices(MSALD(), itertools.chain([first], batches), None, 500, torch.Generator().manual_seed(0))
        seen[rows] = peak_megabytes() - before
    return seen


def by_ranks(rows: int = 2_000_000) -> dict[str, float]:
    """Seconds of each number of processes, one thread each, and of what the last one does alone: merging, selecting."""
    found = {}
    for ranks in (1, 2):
        context = multiprocessing.get_context("spawn")
        queue = context.SimpleQueue()
        processes = [context.Process(target=_rank, args=(rank, ranks, rows, queue)) for rank in range(ranks)]
        for process in processes:
            process.start()
        results = [queue.get()]
        for process in processes:
            process.join()
        found[f"{ranks} ranks s"], found[f"merge of {ranks} ms"] = results[0]
    return found


def _rank(rank: int, ranks: int, rows: int, queue: "multiprocessing.SimpleQueue[tuple[float, float]]") -> None:
    torch.set_num_threads(1)
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29511"}
    dist.init_process_group("gloo", rank=rank, world_size=ranks)
    share = rows // ranks
    times = []
    for _ in range(RUNS + 1):
        dist.barrier()
        start = time.perf_counter()
        running = StreamingShortlist(MSALD(), 500, torch.Generator().manual_seed(0))
        for batch in stream(share):
            running.add(PoolOutputs(batch.index * ranks + rank, logits=batch.logits))
        held = running.held() if rank else None
        scored = time.perf_counter()
        parts: list[object] | None = [None] * ranks if rank == 0 else None
        dist.gather_object(held, parts)
        if rank == 0:
            for part in (parts or [])[1:]:
                running.merge(part)  # type: ignore[arg-type]
            running.finish()
        times.append((time.perf_counter() - start, 1e3 * (time.perf_counter() - scored)))
    if rank == 0:
        whole, merge = (statistics.median(column) for column in zip(*times[1:], strict=True))
        queue.put((whole, merge))
    dist.destroy_process_group()


def draw(curves: dict[str, dict[str, tuple[Sequence[float], list[float]]]]) -> None:
    """One panel for each quantity, on logarithmic axes."""
    figure, panels = plt.subplots(1, len(curves), figsize=(3.6 * len(curves), 3.4), layout="constrained")
    for axes, (quantity, lines) in zip(panels, curves.items(), strict=True):
        for (name, (x, seconds)), marker in zip(lines.items(), "osD^", strict=False):
            tail = x[-3:], seconds[-3:]
            axes.plot(x, seconds, marker=marker, markersize=4, label=f"{name} (slope {exponent(*tail):.2f})")
        axes.set(xscale="log", yscale="log", xlabel=quantity, ylabel="seconds")
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize="small")
    figure.savefig(PICTURE, dpi=150)
    plt.close(figure)


def run() -> list[Row]:
    """Slopes are those of the three largest values: small ones are all overhead."""
    used = memory()  # first: the peak of the process must still be low
    pools = {"Entropy": by_pool(Entropy()), "MSALD": by_pool(MSALD())}
    classes = by_classes()
    sizes = {
        "MSALD": by_query_size(MSALD(), ["logits"]),
        "KCenter": by_query_size(KCenter(), ["embeddings"]),
        "BADGE": by_query_size(BADGE(), ["logits", "embeddings"]),
    }
    draw(
        {
            "images in the pool": {name: (POOLS, seconds) for name, seconds in pools.items()},
            "classes": {"MSALD, 10,000 images": (CLASSES, classes)},
            "query size (of 20,000)": {name: (SIZES, seconds) for name, seconds in sizes.items()},
        }
    )
    rows = [_slope(f"{name}: seconds by pool size", POOLS, seconds, 1.05, "rows") for name, seconds in pools.items()]
    rows.append(_slope("MSALD: seconds by classes, 10,000 rows", CLASSES, classes, 1.05, "classes"))
    rows += [_slope(f"{name}: seconds by query size, 20,000 rows", SIZES, s, 1.05, "n") for name, s in sizes.items()]
    ranks = by_ranks()
    growth = max(used.values()) - min(used.values())
    figures = {f"{rows:,} rows, MB": megabytes for rows, megabytes in used.items()}
    return [
        *rows,
        Row("MSALD: MB more for 1,000 times the pool", figures, growth, 10.0, at_least=False),
        Row("MSALD, 2,000,000 rows: 2 ranks as fast as 1, times", ranks, ranks["1 ranks s"] / ranks["2 ranks s"]),
    ]


def _slope(case: str, x: Sequence[float], seconds: list[float], target: float, unit: str) -> Row:
    figures = {f"{value:,} {unit}, s": second for value, second in zip(x, seconds, strict=True)}
    return Row(f"{case}: slope", figures, exponent(x[-3:], seconds[-3:]), target, at_least=False)
