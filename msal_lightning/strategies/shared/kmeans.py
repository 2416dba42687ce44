"""k-means by scikit-learn, reproducible; of very many rows it sees a sample."""

import warnings
from collections.abc import Callable

import torch
from torch import Generator, Tensor

from msal_lightning.strategies.rows import Rows
from msal_lightning.strategies.shared.changed_rows import ChangedRows, on_cpu
from msal_lightning.strategies.shared.distances import blocks, centered, mean_row, nearest_rows

HELD_ROWS = 100_000  # that a strategy holds in memory: 600 MB of width 1,536
_PER_CLUSTER = 256  # rows of a sample, as in faiss


def kmeans(x: Tensor, k: int, generator: Generator, weight: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Cluster rows.

    Args:
        x: (N, D) float32.
        k: number of clusters, at most N.
        generator: seeds the initial centers.
        weight: (N,) float32, at least 0; equal weights by default.

    Returns:
        Centers (k, D) float32, and the cluster of each row (N,) int64.
    """
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits

    seed = int(torch.randint(2**31 - 1, (), generator=generator))
    largest = float(weight.max()) if weight is not None and len(weight) else 0.0
    # divide by the largest: only ratios count, and sums of tiny weights would underflow in float32
    sample_weight = (weight.double() / largest).numpy() if weight is not None and largest > 0 else None
    model = KMeans(k, n_init=1, random_state=seed)
    # Threads add their parts of a center in the order in which they finish. The order changes a sum of three or more
    # parts, so a seed would not give the same ledger.
    with warnings.catch_warnings(), threadpool_limits(2, user_api="openmp"):
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer different rows than clusters
        label = model.fit_predict(x.numpy(), sample_weight=sample_weight)
    return torch.from_numpy(model.cluster_centers_), torch.from_numpy(label).long()


def held_if_few(x: Rows) -> Rows:
    """Return at most 100,000 rows as a tensor, more of them as they are."""
    return _read(x, torch.arange(len(x))) if len(x) <= HELD_ROWS else x


def training_rows(x: Rows, k: int, generator: Generator) -> Tensor:
    """Return the rows that k-means sees: all, or a random sample of ``max(100_000, 256 k)``.

    Args:
        x: (N, D).
        k: number of clusters.
        generator: draws the sample, if there is one.

    Returns:
        (M, D) float32, by ascending row.
    """
    size = max(HELD_ROWS, _PER_CLUSTER * k)
    if len(x) <= size:
        return _read(x, torch.arange(len(x)))
    return _read(x, torch.randperm(len(x), generator=generator)[:size].sort().values)


def _read(x: Rows, rows: Tensor) -> Tensor:
    """Read rows into one tensor; in blocks, because what changes them makes copies."""
    found = torch.empty(len(rows), *x.shape[1:])
    for part in blocks(len(rows), int(x.shape[1])):
        found[part] = on_cpu(x, rows[part])
    return found


def nearest_to_centers(x: Rows, k: int, generator: Generator, centers_of: Callable[[Tensor], Tensor]) -> Tensor:
    """Cluster rows, and return the nearest row to each center.

    Args:
        x: (N, D).
        k: number of clusters, at most N.
        generator: draws the sample that is clustered, if there is one.
        centers_of: from the rows that are clustered, (M, D), shifted to a mean of 0, to centers (k, D).

    Returns:
        (k,) int64 rows of x, none twice.
    """
    rows = training_rows(x, k, generator)
    centers = centers_of(centered(rows))
    origin = mean_row(rows)
    del rows
    return nearest_rows(ChangedRows(x, lambda block: block - origin), centers)


def clusters(x: Rows, k: int, generator: Generator) -> Tensor:
    """Return the cluster of each row, (N,) int64.

    Args:
        x: (N, D).
        k: number of clusters, at most N.
        generator: draws the sample that is clustered, if there is one, and seeds the initial centers.
    """
    rows = training_rows(x, k, generator)
    centers, cluster = kmeans(rows, k, generator)
    if len(rows) == len(x):
        return cluster
    # one tensor: parts that stay between freed blocks would fragment memory
    found = torch.empty(len(x), dtype=torch.int64)
    for part in blocks(len(x), max(centers.shape)):
        found[part] = torch.cdist(on_cpu(x, part), centers).argmin(dim=1)
    return found
