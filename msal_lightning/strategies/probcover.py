"""ProbCover."""

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from msal_lightning.strategies._distances import blocks
from msal_lightning.strategies._kmeans import kmeans
from msal_lightning.strategies.base import Strategy
from msal_lightning.strategies.outputs import PoolOutputs

_SAMPLE = 2000  # number of rows from which the radius is estimated


class ProbCover(Strategy):
    """Images whose balls of radius delta cover most uncovered images, chosen greedily.

    Embeddings lie on the unit sphere. The balls of labeled images count as covered; when everything is covered, the
    remaining images are drawn at random. The paper uses self-supervised embeddings; this class uses the model's own.
    Distances are computed in blocks and never kept, so memory grows with the pool and not with its square.

    [0] Yehuda et al., 2022, Active Learning Through a Covering Lens, arXiv 2205.11320

    Args:
        delta: the radius, 0 to 2; none estimates it: the largest radius at which a share ``purity`` of the balls holds
            only one k-means cluster, with as many clusters as classes (the paper's section 3.3).
        purity: share of pure balls; 0.95 in the paper.

    Raises:
        ValueError: an argument is out of range.
    """

    needs = frozenset({"embeddings"})
    needs_labeled = True

    def __init__(self, delta: float | None = None, purity: float = 0.95) -> None:
        if delta is not None and not 0 < delta <= 2:
            raise ValueError(f"query.delta must be above 0 and at most 2, got {delta}: leave it out to estimate it")
        if not 0 < purity <= 1:
            raise ValueError(f"query.purity must be above 0 and at most 1, got {purity}: 0.95 is the default")
        self.delta = delta
        self.purity = purity

    def shortlist_size(self, n: int) -> None:  # noqa: D102
        return None

    def select(self, shortlist: PoolOutputs, labeled: PoolOutputs | None, n: int, generator: Generator) -> Tensor:  # noqa: D102
        x = F.normalize(shortlist.require("embeddings").float(), dim=1)
        delta = self.delta or pure_radius(x, shortlist.require_num_classes(), self.purity, generator)
        # On the unit sphere, a distance below delta means a cosine above this value. The last term allows for float32
        # rounding, by which a row could lie outside its own ball.
        cosine = 1 - delta**2 / 2 - 1e-6
        covered = torch.zeros(len(x), dtype=torch.bool)
        if labeled is not None and len(labeled):
            known = F.normalize(labeled.require("embeddings").float(), dim=1)
            covered = _count_within(x, known, cosine) > 0
        gain = _count_within(x, x[~covered], cosine)
        free = torch.ones(len(x), dtype=torch.bool)
        picks: list[int] = []
        while len(picks) < n:
            most, row = (int(value) for value in gain.masked_fill(~free, -1).max(dim=0))
            if most < 1:
                break
            new = ~covered & (x @ x[row] >= cosine)
            picks.append(row)
            free[row] = False
            covered |= new
            gain -= _count_within(x, x[new], cosine)
        rest = free.nonzero()[:, 0]
        rest = rest[torch.randperm(len(rest), generator=generator)][: n - len(picks)]
        return torch.cat([torch.tensor(picks, dtype=torch.int64), rest])


def pure_radius(x: Tensor, num_classes: int, purity: float, generator: Generator) -> float:
    """Return the largest radius at which a share of the balls holds rows of only one k-means cluster.

    A ball is pure while its radius is below the distance from its center to the nearest row of another cluster.
    Therefore the radius is a quantile of these distances, here over at most 2,000 rows.

    Args:
        x: (N, D) on the unit sphere.
        num_classes: number of clusters.
        purity: the share.
        generator: generator for the clustering and the sample.

    Returns:
        The radius, above 0.
    """
    _, cluster = kmeans(x, min(num_classes, len(x)), generator)
    sample = torch.randperm(len(x), generator=generator)[:_SAMPLE]
    to_other = torch.cat(
        [
            torch.cdist(x[rows], x).masked_fill(cluster[rows, None] == cluster, torch.inf).amin(dim=1)
            for rows in (sample[part] for part in blocks(len(sample), len(x)))
        ]
    )
    finite = to_other[torch.isfinite(to_other)].sort().values
    if not len(finite):
        return 2.0  # a single cluster: every ball is pure
    smallest = finite[min(len(finite) - 1, int((1 - purity) * len(finite) + 1e-9))]
    return max(float(smallest) * (1 - 1e-6), 1e-6)


def _count_within(x: Tensor, others: Tensor, cosine: float) -> Tensor:
    """Count the others in the ball of each row: (N,) int64."""
    counts = [(x[part] @ others.T >= cosine).sum(dim=1) for part in blocks(len(x), len(others))]
    return torch.cat(counts)
