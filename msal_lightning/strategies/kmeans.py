"""k-means sampling."""

from torch import Generator, Tensor

from msal_lightning.strategies.base import Strategy
from msal_lightning.strategies.outputs import PoolOutputs
from msal_lightning.strategies.shared.kmeans import kmeans, nearest_to_centers


class KMeans(Strategy):
    """The image nearest to each of b cluster centers of the pool's embeddings, by scikit-learn.

    Two centers never share an image: the later center takes the nearest remaining image. If there are more than 100,000
    images, and more than 256 for each center, k-means sees a random sample of this size.

    [0] Zhan et al., 2022, A Comparative Survey of Deep Active Learning, arXiv 2203.13450
    """

    needs = frozenset({"embeddings"})
    embeddings_by_rows = True

    def shortlist_size(self, n: int) -> None:  # noqa: D102
        return None

    def select(self, shortlist: PoolOutputs, labeled: PoolOutputs | None, n: int, generator: Generator) -> Tensor:  # noqa: D102
        rows = shortlist.embedding_rows()
        return nearest_to_centers(rows, n, generator, lambda x: kmeans(x, n, generator)[0])
