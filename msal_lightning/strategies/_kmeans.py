"""k-means by scikit-learn, reproducible."""

import warnings

import torch
from torch import Generator, Tensor


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
