"""MaxHerding."""

import math

from torch import Generator, Tensor

from msal_lightning.strategies.base import Strategy
from msal_lightning.strategies.outputs import PoolOutputs
from msal_lightning.strategies.shared.greedy_coverage import GreedyCoverage, most_covering
from msal_lightning.strategies.shared.kernels import Kernel, KernelName


class MaxHerding(Strategy):
    """Images that most increase the generalized coverage of pool and labeled set, chosen greedily.

    The generalized coverage is the mean over all images of the largest kernel with a labeled or chosen image.
    Embeddings lie on the unit sphere; labeled images are covered and cover others. Of images that add equally much, to
    ten digits, the one with the lowest index is chosen. When no image adds anything, the remaining ones are drawn at
    random. Memory grows with the pool and not with its square, as no matrix of all pairs is kept. The paper uses
    self-supervised embeddings; this class uses the model's own, or the features of a dataset without a model.

    The authors' code compares at most 35,000 images, drawn at random; this class compares all.

    [0] Bae, Noh and Sutherland, 2024, Generalized Coverage for More Robust Low-Budget Active Learning, arXiv 2407.12212

    Args:
        kernel: ``gaussian``, ``exp(-d²/sigma²)``, with d the distance on the unit sphere; or ``student_t``,
            ``(1 + d²/(0.5·sigma²))^-0.75``, the authors' other choice.
        sigma: bandwidth of the kernel, above 0. 1 in the paper.

    Raises:
        ValueError: ``sigma`` is not above 0.
    """

    needs = frozenset({"embeddings"})
    on_device = frozenset({"embeddings"})
    embeddings_by_rows = True
    needs_labeled = True

    def __init__(self, kernel: KernelName = "gaussian", sigma: float = 1.0) -> None:
        check_sigma(sigma, "1 is the paper's value")
        self.kernel = Kernel(kernel, sigma)

    def shortlist_size(self, n: int) -> None:  # noqa: D102
        return None

    def select(self, shortlist: PoolOutputs, labeled: PoolOutputs | None, n: int, generator: Generator) -> Tensor:  # noqa: D102
        x = shortlist.embedding_rows()
        centers = None if labeled is None else labeled.embedding_rows()
        return most_covering(GreedyCoverage(x, self.kernel, centers=centers), len(x), n, generator)


def check_sigma(sigma: float, remedy: str) -> None:
    """Reject a bandwidth that is no number above 0.

    Raises:
        ValueError: it is none.
    """
    if not 0 < sigma < math.inf:
        raise ValueError(f"query.sigma must be a number above 0, got {sigma}: {remedy}")
