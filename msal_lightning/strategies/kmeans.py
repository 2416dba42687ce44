"""k-means sampling."""

from torch import Generator, Tensor

from msal_lightning.strategies._distances import centered, nearest_rows
from msal_lightning.strategies._kmeans import kmeans
from msal_lightning.strategies.base import Strategy
from msal_lightning.strategies.outputs import PoolOutputs


class KMeans(Strategy):
    """The image nearest to each of b cluster centers of the pool's embeddings, by scikit-learn.

    Two centers never share an image: the later center takes the nearest remaining image.

    [0] Zhan et al., 2022, A Comparative Survey of Deep Active Learning, arXiv 2203.13450
    """

    needs = frozenset({"embeddings"})

    def shortlist_size(self, n: int) -> None:  # noqa: D102
        return None

    def select(self, shortlist: PoolOutputs, labeled: PoolOutputs | None, n: int, generator: Generator) -> Tensor:  # noqa: D102
        embeddings = centered(shortlist.require("embeddings"))
        centers, _ = kmeans(embeddings, n, generator)
        return nearest_rows(embeddings, centers)
