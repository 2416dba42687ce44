"""k-means sampling with faiss."""

import torch
from torch import Generator, Tensor

from msal_lightning.errors import UserError
from msal_lightning.pool import PoolOutputs
from msal_lightning.strategies._distances import centered, nearest_rows
from msal_lightning.strategies.base import Strategy


class KMeansFaiss(Strategy):
    """As KMeans, by faiss, on a GPU when faiss and the machine have one: the paper's KMeans (GPU).

    [0] Johnson, Douze and Jégou, 2017, Billion-scale Similarity Search with GPUs, arXiv 1702.08734

    Args:
        iterations: of Lloyd's algorithm; faiss does not look for convergence.

    Raises:
        UserError: faiss is not installed.
        ValueError: no iterations.
    """

    needs = frozenset({"embeddings"})

    def __init__(self, iterations: int = 25) -> None:  # 25: faiss's own default
        if iterations < 1:
            raise ValueError(f"query.iterations must be at least 1, got {iterations}: 25 is the default")
        try:
            import faiss
        except ImportError:
            raise UserError(
                "query KMeansFaiss needs faiss, which is not installed: run "
                "`python -m pip install 'msal_lightning[faiss]'`, or set query to KMeans"
            ) from None
        self.iterations = iterations
        self._faiss = faiss

    def shortlist_size(self, n: int) -> None:  # noqa: D102
        return None

    def select(self, shortlist: PoolOutputs, labeled: PoolOutputs | None, n: int, generator: Generator) -> Tensor:  # noqa: D102
        embeddings = centered(shortlist.require("embeddings"))
        model = self._faiss.Kmeans(
            embeddings.shape[1],
            n,
            niter=self.iterations,
            seed=int(torch.randint(2**31 - 1, (), generator=generator)),
            min_points_per_centroid=1,  # it would print a warning below 39
            max_points_per_centroid=len(embeddings),  # it would train on a sample
            gpu=hasattr(self._faiss, "get_num_gpus") and self._faiss.get_num_gpus() > 0,
        )
        model.train(embeddings.numpy())
        return nearest_rows(embeddings, torch.from_numpy(model.centroids))
