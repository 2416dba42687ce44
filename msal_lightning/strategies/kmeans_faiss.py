"""k-means sampling with faiss."""

import torch
from torch import Generator, Tensor

from msal_lightning.errors import ConfigError
from msal_lightning.strategies.base import Strategy
from msal_lightning.strategies.outputs import PoolOutputs
from msal_lightning.strategies.shared.kmeans import nearest_to_centers


class KMeansFaiss(Strategy):
    """KMeans computed by faiss, on a GPU if faiss and the machine support it: the paper's KMeans (GPU).

    Of more than 100,000 images, and more than 256 for each center, it sees a random sample, as KMeans does.

    [0] Johnson, Douze and Jégou, 2017, Billion-scale Similarity Search with GPUs, arXiv 1702.08734

    The reference toolkit runs 300 iterations with 10 restarts (``--query.iterations 300 --query.restarts 10``), 120
    times the work. ``docs/benchmarks.md`` compares the inertia of both with scikit-learn's.

    Args:
        iterations: iterations of Lloyd's algorithm; faiss does not test for convergence.
        restarts: number of random starts; faiss keeps the centers with the lowest inertia.

    Raises:
        ConfigError: faiss is not installed.
        ValueError: an argument is below 1.
    """

    needs = frozenset({"embeddings"})
    embeddings_by_rows = True

    def __init__(self, iterations: int = 25, restarts: int = 1) -> None:  # both are faiss's own defaults
        for key, value, default in (("iterations", iterations, 25), ("restarts", restarts, 1)):
            if value < 1:
                raise ValueError(f"query.{key} must be at least 1, got {value}: {default} is the default")
        try:
            import faiss
        except ImportError:
            raise ConfigError(
                "query KMeansFaiss needs faiss, which is not installed: run "
                "`python -m pip install 'msal_lightning[faiss]'`, or set query to KMeans"
            ) from None
        self.iterations = iterations
        self.restarts = restarts
        self._faiss = faiss

    def shortlist_size(self, n: int) -> None:  # noqa: D102
        return None

    def select(self, shortlist: PoolOutputs, labeled: PoolOutputs | None, n: int, generator: Generator) -> Tensor:  # noqa: D102
        rows = shortlist.embedding_rows()
        return nearest_to_centers(rows, n, generator, lambda x: self.centers(x, n, generator))

    def centers(self, x: Tensor, k: int, generator: Generator) -> Tensor:
        """Cluster rows.

        Args:
            x: (N, D) float32.
            k: number of clusters, at most N.
            generator: seeds the initial centers.

        Returns:
            (k, D) float32.
        """
        model = self._faiss.Kmeans(
            x.shape[1],
            k,
            niter=self.iterations,
            nredo=self.restarts,
            seed=int(torch.randint(2**31 - 1, (), generator=generator)),
            min_points_per_centroid=1,  # the default of 39 would print a warning
            max_points_per_centroid=len(x),  # the default would train on a sample of its own
            gpu=hasattr(self._faiss, "get_num_gpus") and self._faiss.get_num_gpus() > 0,
        )
        model.train(x.numpy())
        return torch.from_numpy(model.centroids)
