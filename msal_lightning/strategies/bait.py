"""BAIT: batch active learning via information matrices."""

import torch
from torch import Generator, Tensor

from msal_lightning.strategies.base import Strategy
from msal_lightning.strategies.outputs import PoolOutputs
from msal_lightning.strategies.shared.fisher import Design, Fishers

_TOGETHER = 64  # rows that are looked at together


class BAIT(Strategy):
    """Images whose Fisher information at the last layer, with that of the labeled set, best bounds the pool's error.

    Minimizes ``tr(M⁻¹ F)`` greedily. F is the mean Fisher information of pool and labeled set, and
    ``M = lambda·I + (sum of the labeled images + b · sum of the selected images) / (labeled + b)``, as in the authors'
    code. Forward steps add 2b images, then b backward steps remove the image that is missed least.

    Matrices have (C-1)·D rows and columns. If these are more than ``parameters``, embeddings are replaced by as many of
    their principal components as fit (not centered); the paper has no such step. A forward step looks at an image again
    only if its last gain is among the largest (lazy greedy). Gains nearly always fall as images are added; where one
    rises, the step can miss it.

    [0] Ash et al., 2021, Gone Fishing: Neural Active Learning with Fisher Embeddings, arXiv 2106.09675, Algorithm 1

    Args:
        regularization: lambda, above 0. 1 in the authors' code.
        parameters: largest number of parameters of the last layer; at least 1. Time and memory grow with its square.

    Raises:
        ValueError: an argument is out of range.
    """

    needs = frozenset({"logits", "embeddings"})
    needs_labeled = True

    def __init__(self, regularization: float = 1.0, parameters: int = 512) -> None:
        if not 0 < regularization < torch.inf:
            raise ValueError(f"query.regularization must be a number above 0, got {regularization}: 1 is usual")
        if parameters < 1:
            raise ValueError(f"query.parameters must be at least 1, got {parameters}: 512 is the default")
        self.regularization = regularization
        self.parameters = parameters

    def shortlist_size(self, n: int) -> None:  # noqa: D102
        return None

    def select(self, shortlist: PoolOutputs, labeled: PoolOutputs | None, n: int, generator: Generator) -> Tensor:  # noqa: D102
        known = 0 if labeled is None else len(labeled)
        both = [shortlist] if labeled is None else [labeled, shortlist]
        p = torch.cat([part.probabilities() for part in both])
        h = torch.cat([part.require("embeddings").float() for part in both])
        h = _components(h, max(1, self.parameters // (p.shape[1] - 1)), generator)
        pool, old = Fishers(p[known:], h[known:]), Fishers(p[:known], h[:known]).total()
        start = self.regularization * torch.eye(len(old), dtype=torch.float64) + old / (known + n)
        design = Design(pool, n / (known + n), start, (old + pool.total()) / len(p))
        picks = _add(design, len(pool), min(2 * n, len(pool)))
        while len(picks) > n:
            least = int(design.change(torch.tensor(picks), -1).argmin())
            design.update(picks.pop(least), -1)
        return torch.tensor(picks)


def _add(design: Design, num_rows: int, n: int) -> list[int]:
    """Add n rows, each time the one that lowers the trace most; ties by lower row."""
    gain = design.change(torch.arange(num_rows), 1)
    picks: list[int] = []
    while len(picks) < n:
        if picks:
            design.update(picks[-1], 1)
        is_stale = torch.ones(num_rows, dtype=torch.bool) if picks else torch.zeros(num_rows, dtype=torch.bool)
        gain[picks] = -torch.inf
        while is_stale[best := int(gain.argmax())]:
            # of many equal gains, the largest ones may leave out the first
            rows = torch.unique(torch.cat([gain.topk(min(_TOGETHER, num_rows)).indices, torch.tensor([best])]))
            rows = rows[is_stale[rows] & (gain[rows] > -torch.inf)]
            gain[rows] = design.change(rows, 1)
            is_stale[rows] = False
        picks.append(best)
    design.update(picks[-1], 1)
    return picks


def _components(x: Tensor, most: int, generator: Generator) -> Tensor:
    """Replace rows by their largest principal components if they have more than ``most`` columns."""
    if x.shape[1] <= most:
        return x
    from sklearn.utils.extmath import randomized_svd

    seed = int(torch.randint(2**31 - 1, (), generator=generator))
    u, s, _ = randomized_svd(x.numpy(), min(most, len(x)), n_iter=2, random_state=seed)
    return torch.from_numpy(u * s)
