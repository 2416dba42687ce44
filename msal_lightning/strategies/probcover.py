"""ProbCover."""

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from msal_lightning.strategies.base import Strategy
from msal_lightning.strategies.outputs import PoolOutputs
from msal_lightning.strategies.rows import Rows
from msal_lightning.strategies.shared.changed_rows import ChangedRows
from msal_lightning.strategies.shared.distances import blocks
from msal_lightning.strategies.shared.kmeans import clusters, held_if_few

_SAMPLE = 2000  # number of rows from which the radius is estimated
_TOGETHER = 2048  # balls at a time


class ProbCover(Strategy):
    """Images whose balls of radius delta cover most uncovered images, chosen greedily.

    Embeddings lie on the unit sphere. The balls of labeled images count as covered; when everything is covered, the
    remaining images are drawn at random. The paper uses self-supervised embeddings; this class uses the model's own.
    Distances are computed in blocks and never kept: memory grows with the pool, and of more than 100,000 images the
    embeddings are read a block at a time. Time grows with the square of the pool.

    [0] Yehuda et al., 2022, Active Learning Through a Covering Lens, arXiv 2205.11320

    Args:
        delta: the radius, 0 to 2; none estimates it: the largest radius at which a share ``purity`` of the balls holds
            only one k-means cluster, with as many clusters as classes (the paper's section 3.3).
        purity: share of pure balls; 0.95 in the paper.

    Raises:
        ValueError: an argument is out of range.
    """

    needs = frozenset({"embeddings"})
    embeddings_by_rows = True
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
        x = held_if_few(ChangedRows(shortlist.embedding_rows(), lambda rows: F.normalize(rows, dim=1)))
        delta = self.delta or pure_radius(x, shortlist.require_num_classes(), self.purity, generator)
        # On the unit sphere, a distance below delta means a cosine above this value. The last term allows for float32
        # rounding, by which a row could lie outside its own ball.
        cosine = 1 - delta**2 / 2 - 1e-6
        covered = torch.zeros(len(x), dtype=torch.bool)
        if labeled is not None and len(labeled):
            known = F.normalize(labeled.require("embeddings").float(), dim=1)
            covered = _count_within(x, known, torch.arange(len(known)), cosine) > 0
        gain = _count_within(x, x, (~covered).nonzero()[:, 0], cosine)
        free = torch.ones(len(x), dtype=torch.bool)
        picks: list[int] = []
        while len(picks) < n:
            most, row = (int(value) for value in gain.masked_fill(~free, -1).max(dim=0))
            if most < 1:
                break
            new = ~covered & (_count_within(x, x, torch.tensor([row]), cosine) > 0)
            picks.append(row)
            free[row] = False
            covered |= new
            gain -= _count_within(x, x, new.nonzero()[:, 0], cosine)
        rest = free.nonzero()[:, 0]
        rest = rest[torch.randperm(len(rest), generator=generator)][: n - len(picks)]
        return torch.cat([torch.tensor(picks, dtype=torch.int64), rest])


def pure_radius(x: Rows, num_classes: int, purity: float, generator: Generator) -> float:
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
    cluster = clusters(x, min(num_classes, len(x)), generator)
    sample = torch.randperm(len(x), generator=generator)[:_SAMPLE]
    center, own = x[sample], cluster[sample, None]
    to_other = torch.full((len(sample),), torch.inf)
    for part in blocks(len(x), max(center.shape)):
        distance = torch.cdist(center, x[part]).masked_fill_(own == cluster[part], torch.inf)
        to_other = torch.minimum(to_other, distance.amin(dim=1))
    finite = to_other[torch.isfinite(to_other)].sort().values
    if not len(finite):
        return 2.0  # a single cluster: every ball is pure
    smallest = finite[min(len(finite) - 1, int((1 - purity) * len(finite) + 1e-9))]
    return max(float(smallest) * (1 - 1e-6), 1e-6)


def _count_within(x: Rows, others: Rows, rows: Tensor, cosine: float) -> Tensor:
    """Count some rows of others in the ball of each row of x: (N,) int64."""
    counts = torch.zeros(len(x), dtype=torch.int64)
    for some in torch.split(rows, _TOGETHER):
        other = others[some].T
        for part in blocks(len(x), max(other.shape)):
            counts[part] += (x[part] @ other >= cosine).sum(dim=1)
    return counts
