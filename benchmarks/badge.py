"""BADGE without its gradient matrix: 50,000 rows, C = 100, D = 512, n = 500, against dense gradients and k-means++."""

import statistics
import time

import torch
from torch import Tensor

from benchmarks.measure import Row, in_turn, peak_megabytes, ratio
from msal_lightning import select_indices
from msal_lightning.strategies import BADGE
from msal_lightning.strategies.outputs import PoolOutputs

ROWS, CLASSES, WIDTH, CHOSEN = 50_000, 100, 512, 500
SUBSET, PICKS = 2_500, 20  # what fits: 512 MB of gradients; the dense time grows with rows × picks


def pool(rows: int) -> PoolOutputs:
    """Embeddings around class centers."""
    generator = torch.Generator().manual_seed(0)
    centers = torch.randn(CLASSES, WIDTH, generator=generator)
    embeddings = torch.randn(rows, WIDTH, generator=generator) * 2
    embeddings += centers[torch.randint(CLASSES, (rows,), generator=generator)]
    return PoolOutputs(torch.arange(rows), embeddings=embeddings, logits=embeddings @ centers.T / 100)


def dense(outputs: PoolOutputs, picks: int) -> Tensor:
    """Gradient embeddings of the last layer, (N, C·D), and k-means++ over them, as published (arXiv 1906.03671)."""
    logits, embeddings = outputs.require("logits"), outputs.require("embeddings")
    error = logits.softmax(1)
    error[torch.arange(len(error)), logits.argmax(1)] -= 1
    gradients = (error[:, :, None] * embeddings[:, None, :]).flatten(1)
    chosen = [int(gradients.square().sum(1).argmax())]
    distance = torch.full((len(gradients),), torch.inf)
    generator = torch.Generator().manual_seed(0)
    norms = gradients.square().sum(1)
    for _ in range(picks - 1):
        last = gradients[chosen[-1]]
        distance = torch.minimum(distance, (norms + last @ last - 2 * gradients @ last).clamp_min(0))
        distance[chosen] = 0
        chosen.append(int(torch.multinomial(distance, 1, generator=generator)))
    return torch.tensor(chosen)


def run() -> list[Row]:
    """Time scaled from the subset; memory above the embeddings."""
    whole, subset = pool(ROWS), pool(SUBSET)
    before = peak_megabytes()
    start = time.perf_counter()
    select_indices(BADGE(), [whole], None, CHOSEN, torch.Generator().manual_seed(0))
    first, memory = time.perf_counter() - start, peak_megabytes() - before
    times = in_turn(
        {
            "ours": lambda: select_indices(BADGE(), [whole], None, CHOSEN, torch.Generator().manual_seed(0)),
            "dense": lambda: dense(subset, PICKS),
        }
    )
    scale = ROWS / SUBSET * CHOSEN / PICKS
    figures = {
        "ours s": statistics.median([first, *times["ours"]]),
        "dense s, scaled": scale * statistics.median(times["dense"]),
    }
    return [
        Row("times as fast as dense", figures, scale * ratio(times["dense"], times["ours"]), 40.0),
        Row("MB above the embeddings", {"embeddings MB": ROWS * WIDTH * 4 / 1e6}, memory, 1_000.0, at_least=False),
    ]
