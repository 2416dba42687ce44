"""k-means of faiss against scikit-learn's: inertia and time, 20,000 embeddings in clusters of unequal size, n = 250."""

import statistics

import torch

from benchmarks.measure import Row, in_turn, ratio
from msal_lightning.strategies import KMeansFaiss
from msal_lightning.strategies.outputs import PoolOutputs
from msal_lightning.strategies.shared.kmeans import kmeans

ROWS, WIDTH, CHOSEN, CLUSTERS, SEEDS = 20_000, 64, 250, 400, 5


def embeddings() -> torch.Tensor:
    """Clusters around random centers, the largest with 400 times as many rows as the smallest."""
    generator = torch.Generator().manual_seed(0)
    centers = 2 * torch.randn(CLUSTERS, WIDTH, generator=generator)
    size = torch.logspace(0, torch.tensor(float(CLUSTERS)).log10().item(), CLUSTERS)
    cluster = torch.multinomial(size, ROWS, replacement=True, generator=generator)
    return centers[cluster] + torch.randn(ROWS, WIDTH, generator=generator)


def inertia(x: torch.Tensor, centers: torch.Tensor) -> float:
    """Sum of squared distances to the nearest center."""
    return sum(float(torch.cdist(part, centers).min(dim=1).values.square().sum()) for part in x.split(2000))


def run() -> list[Row]:
    """Inertia over scikit-learn's on the same rows, mean of five seeds; seconds in turn."""
    x = embeddings()
    pool = PoolOutputs(torch.arange(ROWS), embeddings=x)

    def generator(seed: int) -> torch.Generator:
        return torch.Generator().manual_seed(seed)

    short, long = KMeansFaiss(), KMeansFaiss(iterations=300, restarts=10)
    means = {
        "scikit-learn": statistics.fmean(inertia(x, kmeans(x, CHOSEN, generator(s))[0]) for s in range(SEEDS)),
        "faiss 25×1": statistics.fmean(inertia(x, short.centers(x, CHOSEN, generator(s))) for s in range(SEEDS)),
        "faiss 300×10": inertia(x, long.centers(x, CHOSEN, generator(0))),
    }
    times = in_turn(
        {
            "scikit-learn": lambda: kmeans(x, CHOSEN, generator(0)),
            "faiss 25×1": lambda: short.select(pool, None, CHOSEN, generator(0)),
        }
    )
    seconds = {f"{name} s": statistics.median(values) for name, values in times.items()}
    return [
        Row(
            "inertia of faiss with 25 iterations, over scikit-learn's",
            means,
            means["faiss 25×1"] / means["scikit-learn"],
        ),
        Row(
            "inertia of faiss with 300 iterations and 10 restarts, over scikit-learn's",
            means,
            means["faiss 300×10"] / means["scikit-learn"],
        ),
        Row(
            "seconds of faiss with 25 iterations, over scikit-learn's",
            seconds,
            ratio(times["faiss 25×1"], times["scikit-learn"]),
        ),
    ]
