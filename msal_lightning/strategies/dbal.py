"""Diverse mini-batch active learning."""

from torch import Generator, Tensor

from msal_lightning.strategies.base import PrefilterStrategy, Uncertainty
from msal_lightning.strategies.margin import Margin
from msal_lightning.strategies.outputs import PoolOutputs
from msal_lightning.strategies.shared.distances import centered, nearest_rows
from msal_lightning.strategies.shared.kmeans import kmeans


class DBAL(PrefilterStrategy):
    """The image nearest to each of b centers of an uncertainty-weighted k-means over the beta·b most uncertain.

    With Entropy, and a beta that keeps the whole pool, it is CLUE [1].

    [0] Zhdanov, 2019, Diverse Mini-batch Active Learning, arXiv 1901.05954
    [1] Prabhu et al., 2021, Active Domain Adaptation via Clustering Uncertainty-weighted Embeddings, arXiv 2010.08666

    Args:
        uncertainty: weight of an image, and the score of the pre-filter.
        beta: the pre-filter keeps ``ceil(beta·b)`` images; at least 1.

    Raises:
        ValueError: beta below 1.
    """

    def __init__(self, uncertainty: Uncertainty = Margin(), beta: float = 10.0) -> None:  # noqa: B008 - stateless
        super().__init__(uncertainty, beta, "embeddings")

    @property
    def name(self) -> str:
        """DBAL, followed by the uncertainty unless it is Margin."""
        return "DBAL" if self.uncertainty.name == "Margin" else f"DBAL-{self.uncertainty.name}"

    def select(self, shortlist: PoolOutputs, labeled: PoolOutputs | None, n: int, generator: Generator) -> Tensor:  # noqa: D102
        embeddings = centered(shortlist.require("embeddings"))
        centers, _ = kmeans(embeddings, n, generator, weight=shortlist.require("score"))
        return nearest_rows(embeddings, centers)
