"""Rounds on a pool of features in files: seconds and memory at 10,000,000 rows, and the picks of rows in memory."""

import contextlib
import io
import multiprocessing
import statistics
import tempfile
from pathlib import Path

import numpy as np
import torch
from lightning.pytorch import Trainer

from benchmarks.measure import PeakMemory, Row
from msal_lightning import ActiveLoop, LoopOptions, MSALClassifier, RunDirectory
from msal_lightning.datasets import Embeddings
from msal_lightning.models.backbones import MLP
from msal_lightning.strategies import MSALD, Entropy, Margin, Strategy

ROWS, SMALL, TESTED, WIDTH = 10_000_000, 200_000, 10_000, 384
FILES, BLOCK = 4, 50_000
LABELED = CHOSEN = 1_000
STRATEGIES: tuple[type[Strategy], ...] = (MSALD, Entropy, Margin)


class InMemory(Embeddings):
    """The same rows as one tensor."""

    def setup(self, stage: str | None = None) -> None:
        """Read all rows once."""
        super().setup(stage)
        if not isinstance(self.images, torch.Tensor):
            self.images = self.images[torch.arange(self.images.shape[0])].clone()


def write(folder: Path, rows: int, seed: int, num_files: int = FILES) -> None:
    """Write normal features around the centers of ten classes, in float16."""
    folder.mkdir()
    generator = np.random.default_rng(seed)
    centers = np.random.default_rng(0).standard_normal((10, WIDTH), dtype=np.float32) / 4
    noise = generator.standard_normal((BLOCK, WIDTH), dtype=np.float32)
    labels = generator.integers(0, 10, rows)
    np.save(folder / "labels.npy", labels)
    for k, part in enumerate(np.array_split(labels, num_files)):
        file = folder / f"features-{k:03d}.npy"
        out = np.lib.format.open_memmap(file, "w+", np.float16, (len(part), WIDTH))
        for start in range(0, len(part), BLOCK):
            of = part[start : start + BLOCK]
            out[start : start + BLOCK] = noise[generator.permutation(BLOCK)[: len(of)]] + centers[of]
        out.flush()


def one_round(data: Embeddings, strategy: Strategy) -> tuple[float, list[int]]:
    """Seconds of fit and query of one round, and the picks."""
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        records = ActiveLoop(
            lambda: MSALClassifier(10, WIDTH, MLP),
            lambda **settings: Trainer(max_steps=300, max_epochs=-1, accelerator="cpu", devices=1, **settings),
            data,
            strategy,
            RunDirectory(folder),
            LoopOptions(LABELED, CHOSEN, CHOSEN, keep_checkpoints="none", checkpoint_seconds=1e9),
        ).run()
    return records[0].seconds["fit"] + records[0].seconds["query"], records[0].queried.index


def measured(folder: str, queue: "multiprocessing.SimpleQueue[tuple[dict[str, list[float]], float]]") -> None:
    """In a process of its own: seconds of each strategy's round, and the largest anonymous memory."""
    data = Embeddings(f"{folder}/pool", test_root=f"{folder}/test")
    data.setup()  # standardization is known from here on
    with PeakMemory() as memory:
        times = {each.__name__: [one_round(data, each())[0] for _ in range(3)] for each in STRATEGIES}
    queue.put((times, memory.peak))


def run() -> list[Row]:
    """Both sizes; the large one is written first, so that its files are in the page cache."""
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder) / "test", TESTED, 1)
        write(Path(folder) / "pool", ROWS, 2)
        context = multiprocessing.get_context("spawn")
        queue = context.SimpleQueue()
        process = context.Process(target=measured, args=(folder, queue))
        process.start()
        times, peak = queue.get()
        process.join()
        write(Path(folder) / "small", SMALL, 3)
        pools = [kind(f"{folder}/small", test_root=f"{folder}/test") for kind in (Embeddings, InMemory)]
        same = [one_round(pools[0], each())[1] == one_round(pools[1], each())[1] for each in STRATEGIES]
    case = f"{ROWS:,} × {WIDTH} float16 in files, {LABELED:,} labels, n = {CHOSEN:,}"
    rows = [
        Row(f"{case}, {name}: fit and query, s", {"largest s": max(seconds)}, statistics.median(seconds), 30.0, False)
        for name, seconds in times.items()
    ]
    return [
        *rows,
        Row(f"{case}: GB of anonymous memory", {}, peak, 1.0, at_least=False),
        Row(f"{SMALL:,} rows: strategies with the picks of rows in memory, share", {}, sum(same) / len(same), 1.0),
    ]
