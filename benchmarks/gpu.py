"""The figures of a GPU: ``python -m benchmarks.gpu [SECTION ...]``, in about five minutes.

Each section is written as soon as it is measured, so that an interrupted command keeps what it has.
"""

import argparse
import contextlib
import io
import json
import re
import statistics
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.__main__ import DOCS, show
from benchmarks.gpu_processes import Work, together
from benchmarks.images import PRECISION, STEMS, RandomImages, model, trainer_factory
from benchmarks.measure import RUNS, Row, device, in_turn, machine, ratio
from benchmarks.pool_pass import QUIET, bare
from benchmarks.rounds import Stopwatch, beyond
from benchmarks.training import Alternate, BareLoop
from msal_lightning import ActiveLoop, LoopOptions, MSALClassifier, Query, RunDirectory
from msal_lightning.models.backbones import SmallCNN
from msal_lightning.strategies import BADGE, MSALD, Entropy, KCenter, Random, Strategy
from msal_lightning.training.cuda_graphs import CudaGraphs
from msal_lightning.training.graphed_steps import GraphedSteps
from msal_lightning.training.lightning_noise import quiet_lightning


@dataclass(frozen=True)
class Size:
    """How much is measured.

    Attributes:
        stems: name, pixels and channels of the networks.
        epoch: images of a training epoch.
        batch: images of a step.
        runs: how often each call is timed.
        pool: images of the pool.
        bare_batch: images of a bare forward pass.
        query: images of a query, n.
        test: images of the test set.
        protocol: labels of the first, a middle and the last round of MNIST.
        epochs: of a fit.
        rounds: to measure the cost of a round by.
        processes: runs at once.
        new_model: makes a model of a stem for a number of channels.
    """

    stems: tuple[tuple[str, int, int], ...] = STEMS
    epoch: int = 10_240
    batch: int = 128
    runs: int = RUNS
    pool: int = 60_000
    bare_batch: int = 4_000
    query: int = 250
    test: int = 10_000
    protocol: tuple[int, ...] = (500, 5_500, 10_500)
    epochs: int = 20
    rounds: int = 12
    processes: int = 8
    new_model: Callable[[str, int], MSALClassifier] = model


def small_model(stem: str, channels: int) -> MSALClassifier:
    """A network for a test of this file."""
    return MSALClassifier(10, channels, lambda channels: SmallCNN(channels, width=2))


FULL = Size()
TINY = Size(
    stems=(("tiny", 8, 1),), epoch=32, batch=16, runs=1, pool=60, bare_batch=32, query=5, test=20,
    protocol=(10, 20), epochs=1, rounds=3, processes=2, new_model=small_model,
)  # fmt: skip


class BareGraph(BareLoop):
    """The limit: the whole step as one CUDA graph, on batches that lie ready. Without a GPU it is a plain loop."""

    def __init__(self, network: MSALClassifier, data: RandomImages, images: int, batch: int) -> None:
        super().__init__(network, data, images, batch)
        self.graph: torch.cuda.CUDAGraph | None = None
        if device() == "cuda":
            for group in self.optimizer.param_groups:
                group["capturable"] = True
            self.image, self.label = (value.clone() for value in self.batches[0])
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                for _ in range(3):
                    super().step(self.image, self.label)
            torch.cuda.current_stream().wait_stream(side)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                super().step(self.image, self.label)
            self.graph = graph

    def step(self, image: torch.Tensor, label: torch.Tensor) -> None:
        """One replay."""
        if self.graph is None:
            super().step(image, label)
            return
        self.image.copy_(image)
        self.label.copy_(label)
        self.graph.replay()


def loop(
    folder: str, size: Size, stem: str, data: RandomImages, run: type[RunDirectory] = RunDirectory, **options: Any
) -> ActiveLoop:
    """A run of a stem: ``epochs``, ``callbacks``, ``strategy``, and options of the loop."""
    new_trainer = trainer_factory(options.pop("epochs", size.epochs))
    own = options.pop("callbacks", [])
    return ActiveLoop(
        lambda: size.new_model(stem, data.channels),
        lambda callbacks, **settings: new_trainer(callbacks=[*own, *callbacks], **settings),
        data,
        options.pop("strategy", None) or Random(),
        run(folder),
        LoopOptions(**options),
    )


def training(size: Size) -> Iterator[Row]:
    """Epochs of a fit against replays of a bare graph and against a bare loop, in turn."""
    for stem, pixels, channels in size.stems:
        data = RandomImages(pixels, channels, size.epoch, batch_size=size.batch)
        data.setup()
        others = {
            "graph": BareGraph(size.new_model(stem, channels), data, size.epoch, size.batch),
            "loop": BareLoop(size.new_model(stem, channels), data, size.epoch, size.batch),
        }
        alternate = Alternate(others)
        with tempfile.TemporaryDirectory() as folder:
            loop(
                folder, size, stem, data, callbacks=[alternate], epochs=size.runs + 2, initial_size="all",
                keep_checkpoints="none",
            ).run()  # fmt: skip
        times = {name: values[1 : size.runs + 1] for name, values in alternate.times.items()}
        rates = {f"{name} images/s": size.epoch / statistics.median(values) for name, values in times.items()}
        case = f"{stem}, {pixels}×{pixels}, {PRECISION}, batches of {size.batch}: of a bare graph's speed"
        yield Row(case, rates, ratio(times["graph"], times["ours"]), 0.7)


def query(network: MSALClassifier, data: RandomImages, strategy: Strategy, n: int) -> None:
    """A whole query, as the loop does it."""
    data.reset(0)
    data.draw_initial(n)
    with quiet_lightning():
        trainer = trainer_factory(1)(callbacks=[Query(strategy, n, 0, 0)], **QUIET)
        trainer.predict(network, datamodule=data, return_predictions=False)


def pool(size: Size) -> Iterator[Row]:
    """Queries of the whole pool against bare forward passes."""
    strategies: dict[str, Strategy] = {"Entropy": Entropy(), "MSALD": MSALD(), "BADGE": BADGE(), "KCenter": KCenter()}
    for (stem, pixels, channels), target in zip(size.stems, (2.0, 1.5), strict=False):
        data = RandomImages(pixels, channels, size.pool + size.query)
        data.setup()
        network = size.new_model(stem, channels)
        ready = (data.images[torch.arange(size.pool)].float() / 255 - 0.5) / 0.3
        batches = list(ready.to(device()).contiguous(memory_format=torch.channels_last).split(size.bare_batch))
        calls: dict[str, Callable[[], object]] = {"bare": bare(network, batches)}
        calls |= {name: partial(query, network, data, strategy, size.query) for name, strategy in strategies.items()}
        times = in_turn(calls, min(size.runs, 3))
        figures = {f"{name} s": statistics.median(values) for name, values in times.items()}
        case = f"{stem}, {size.pool:,} of {pixels}×{pixels}, {PRECISION}, n = {size.query}"
        for name in ("Entropy", "MSALD"):
            yield Row(f"{case}: {name}, times bare passes", figures, ratio(times[name], times["bare"]), target, False)
        for name in ("BADGE", "KCenter"):
            more = figures[f"{name} s"] - figures["Entropy s"]
            yield Row(f"{case}: {name} beyond Entropy, s", figures, more, 0.1, at_least=False)


class TimedGraphs(CudaGraphs):
    """Notes the seconds of each capture, with the steps before it and its comparison."""

    times: list[float]

    @contextlib.contextmanager
    def waiting(self, allowed: bool) -> Iterator[None]:
        """The whole capture is in a block in which the host may wait."""
        start = time.perf_counter()
        with super().waiting(allowed):
            yield
        if allowed:
            torch.cuda.synchronize()
            self.times.append(time.perf_counter() - start)


def capture(size: Size) -> Iterator[Row]:
    """Captures of a fit's two batch sizes, in several fits; without a GPU only the fits run."""
    stem, pixels, channels = size.stems[0]
    times: list[float] = []
    TimedGraphs.times = times
    data = RandomImages(pixels, channels, 4 * size.batch, test=size.test, batch_size=size.batch)
    with tempfile.TemporaryDirectory() as folder:
        run = loop(
            folder, size, stem, data, epochs=2, initial_size=3 * size.batch + 1, query_size=5,
            query_budget=5 * size.runs, keep_checkpoints="none",
        )  # fmt: skip
        fitter = run.fitter
        if fitter.graphs:
            fitter.new_steps = lambda: GraphedSteps(  # type: ignore[method-assign]
                data.training_batch, data.resident_batches, fitter.train_without_graphs, TimedGraphs
            )
        run.run()
    if later := times[2:]:  # those of the first fit load libraries
        figures = {"first s": times[0], "median s": statistics.median(later), "slowest s": max(later)}
        yield Row(f"{stem}: capture of a batch size, s", figures, figures["median s"], 0.2, at_least=False)


def rounds(size: Size) -> Iterator[Row]:
    """What a round costs beside fit, test and query."""
    stem, pixels, _ = size.stems[0]
    seconds = beyond(size.rounds, lambda: size.new_model(stem, 1), pixels)
    figures = {"median s": statistics.median(seconds), "slowest s": max(seconds)}
    yield Row(f"{stem}: a round of {size.rounds}, s", figures, figures["median s"], 0.1, at_least=False)


def protocol(size: Size) -> Iterator[Row]:
    """MNIST's whole protocol, by three of its 41 rounds."""
    stem, pixels, channels = size.stems[0]
    data = RandomImages(pixels, channels, size.pool, test=size.test, batch_size=size.batch)
    found: dict[int, float] = {}
    figures: dict[str, float] = {}
    for labels in size.protocol:
        with tempfile.TemporaryDirectory() as folder:
            run = loop(
                folder, size, stem, data, Stopwatch, strategy=MSALD(), initial_size=labels - size.query // 2,
                query_size=size.query // 2, query_budget=2 * (size.query // 2),
            )  # fmt: skip
            records = run.run()
            ends = run.run_directory.ends  # type: ignore[attr-defined]
        found[labels] = ends[1] - ends[0]  # of the round between, which has labels and a query
        figures |= {f"{labels} labels s": found[labels]}
        figures |= {f"{name} of {labels} s": seconds for name, seconds in records[1].seconds.items()}
    first, last = size.protocol[0], size.protocol[-1]
    total = sum(_between(found, labels) for labels in range(first, last + 1, size.query))
    yield Row("MNIST's protocol, 41 rounds of one run, s", figures, total, 110, at_least=False)


def _between(found: dict[int, float], labels: int) -> float:
    """Seconds of a round, on the line between its measured neighbours."""
    below, above = max(n for n in found if n <= labels), min(n for n in found if n >= labels)
    share = (labels - below) / (above - below) if above > below else 0.0
    return found[below] + share * (found[above] - found[below])


def several(size: Size) -> Iterator[Row]:
    """Runs in processes of their own on one GPU, against one such run alone."""
    stem, pixels, channels = size.stems[0]
    work = Work(stem, pixels, channels, size.protocol[1], size.query, size.test, size.batch, size.epochs, size is TINY)
    if device() == "cuda":
        torch.cuda.empty_cache()
    alone, all_together = together(work, 1), together(work, size.processes)
    figures = {"alone images/s": alone, f"{size.processes} together images/s": all_together}
    yield Row(f"{stem}: {size.processes} runs at once, times one", figures, all_together / alone, 1.3)


SECTIONS: dict[str, Callable[[Size], Iterator[Row]]] = {
    "training": training,
    "pool": pool,
    "capture": capture,
    "rounds": rounds,
    "protocol": protocol,
    "several": several,
}


def measured(name: str, size: Size) -> dict[str, Any]:
    """The rows of a section, and the lines in which the program said that it took a slower way."""
    start, said, rows, error = time.perf_counter(), io.StringIO(), [], None
    with contextlib.redirect_stdout(said):
        try:
            rows.extend(SECTIONS[name](size))
        except Exception:  # the other sections may still be measured
            error = traceback.format_exc()
    notes = set(re.findall(r"\([^()]*because[^()]*\)", " ".join(said.getvalue().split())))
    return {
        "machine": machine(),
        "date": time.strftime("%Y-%m-%d"),
        "seconds": round(time.perf_counter() - start, 1),
        "rows": [{**asdict(row), "met": row.met} for row in rows],
        "slower ways": sorted(notes),
        "error": error,
    }


def main(arguments: list[str] | None = None) -> None:
    """Measure sections, print their tables, and write them into one file."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"some of {', '.join(SECTIONS)} (default: all)")
    parser.add_argument("--out", type=Path, default=DOCS / "benchmarks_gpu.json", help="file for the figures")
    parser.add_argument("--tiny", action="store_true", help="sizes that show that everything runs, on a CPU too")
    options = parser.parse_args(arguments)
    if unknown := set(options.sections) - set(SECTIONS):
        parser.error(f"expected some of {', '.join(SECTIONS)}, got {', '.join(sorted(unknown))}")
    if device() != "cuda" and not options.tiny:
        parser.error("expected a CUDA GPU, got none: add --tiny")
    results = json.loads(options.out.read_text()) if options.out.exists() else {}
    for name in options.sections or SECTIONS:
        result = results[name] = measured(name, TINY if options.tiny else FULL)
        options.out.write_text(json.dumps(results, indent=1) + "\n")
        show(f"{name}, {result['seconds']} s, {result['machine']}", result)
        print(*result["slower ways"], result["error"] or "", sep="\n", flush=True)
    if any(results[name]["error"] for name in options.sections or SECTIONS):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
