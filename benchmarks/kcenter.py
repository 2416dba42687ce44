"""k-center: 50,000 rows of 512, n = 500, against the reference toolkit's matrix of all distances; the same picks."""

import statistics

import numpy as np
import torch

from benchmarks.measure import Row, in_turn, peak_megabytes, ratio
from msal_lightning import select_indices
from msal_lightning.strategies import KCenter
from msal_lightning.strategies.outputs import PoolOutputs

ROWS, WIDTH, CHOSEN, LABELED = 50_000, 512, 500, 500
SUBSET = 5_000  # a matrix of 100 MB in float32; 50,000 rows would take 10 GB


def outputs(first: int, rows: int) -> PoolOutputs:
    """Normal embeddings of different lengths: between rows of one length, rounding would decide which is farthest."""
    generator = torch.Generator().manual_seed(first)
    lengths = torch.randn(rows, 1, generator=generator).exp()
    embeddings = lengths * torch.randn(rows, WIDTH, generator=generator)
    return PoolOutputs(torch.arange(first, first + rows), embeddings=embeddings)


def with_matrix(pool: PoolOutputs, labeled: PoolOutputs, picks: int) -> np.ndarray:  # type: ignore[type-arg]
    """The picks by a matrix of all distances."""
    embeddings = torch.cat([labeled.require("embeddings"), pool.require("embeddings")]).numpy()
    square = (embeddings**2).sum(1)
    distances = np.sqrt(np.maximum(square[:, None] + square[None] - 2 * embeddings @ embeddings.T, 0))
    first = len(labeled)
    nearest = distances[first:, :first].min(1)
    chosen = []
    for _ in range(picks):
        best = int(nearest.argmax())
        chosen.append(first + best)
        nearest = np.minimum(nearest, distances[first + best, first:])
        nearest[best] = -1
    return np.array(chosen)


def run() -> list[Row]:
    """Time scaled from the subset; memory above the embeddings."""
    labeled, whole, subset = outputs(0, LABELED), outputs(LABELED, ROWS), outputs(LABELED, SUBSET)

    def ours(pool: PoolOutputs) -> torch.Tensor:
        return select_indices(KCenter(), [pool], labeled, CHOSEN, torch.Generator().manual_seed(0))

    before = peak_megabytes()
    ours(whole)
    memory = peak_megabytes() - before
    times = in_turn({"ours": lambda: ours(whole), "matrix": lambda: with_matrix(subset, labeled, CHOSEN)})
    same = float((ours(subset).numpy() == with_matrix(subset, labeled, CHOSEN)).mean())
    scale = (ROWS / SUBSET) ** 2  # the matrix; the picks among its rows are a small part
    figures = {
        "ours s": statistics.median(times["ours"]),
        "matrix s, scaled by N²": scale * statistics.median(times["matrix"]),
    }
    return [
        Row("times as fast as the matrix", figures, scale * ratio(times["matrix"], times["ours"]), 5.0),
        Row("same picks on the subset, share", {}, same, 1.0),
        Row("MB above the embeddings", {"embeddings MB": ROWS * WIDTH * 4 / 1e6}, memory, 200.0, at_least=False),
    ]
