"""UHerding."""

import math
from dataclasses import replace

import torch
from torch import Generator, Tensor

from msal_lightning.strategies.base import Strategy, Uncertainty
from msal_lightning.strategies.margin import Margin
from msal_lightning.strategies.maxherding import check_sigma
from msal_lightning.strategies.outputs import PoolOutputs
from msal_lightning.strategies.rows import Rows
from msal_lightning.strategies.shared.distances import blocks
from msal_lightning.strategies.shared.greedy_coverage import GreedyCoverage, most_covering
from msal_lightning.strategies.shared.kernels import Kernel, KernelName
from msal_lightning.strategies.shared.unit_rows import UnitRows


class UHerding(Strategy):
    """Images that most increase the coverage of uncertain images, chosen greedily.

    It is :class:`MaxHerding` with each image weighted by its uncertainty. By default the bandwidth of the kernel
    follows the labeled set, as in the paper: with few labels coverage decides, with many uncertainty.

    The paper also divides logits by a temperature, which it fits every round on 30 % of the labels with a second model
    trained on the others. A strategy here has no second model, so the temperature is an argument. MSAL (Eq. 2) does not
    change with it, because a cosine has no scale.

    [0] Bae, Oliveira and Sutherland, 2025, Uncertainty Herding: One Active Learning Method for All Label Budgets,
    arXiv 2412.20644

    Args:
        uncertainty: any uncertainty, as weight. Margin in the paper.
        kernel: as in :class:`MaxHerding`.
        sigma: bandwidth of the kernel, above 0. None takes the smallest distance between two different labeled images
            on the unit sphere, as the authors' code does, or 1 if there are no two.
        temperature: divides the logits, above 0. 1 leaves them as they are; a larger one makes weights more equal.

    Raises:
        ValueError: ``sigma`` or ``temperature`` is not above 0.
    """

    on_device = frozenset({"embeddings"})
    embeddings_by_rows = True
    needs_labeled = True

    def __init__(
        self,
        uncertainty: Uncertainty = Margin(),  # noqa: B008 - stateless
        kernel: KernelName = "gaussian",
        sigma: float | None = None,
        temperature: float = 1.0,
    ) -> None:
        if sigma is not None:
            check_sigma(sigma, "leave it out to adapt it to the labeled set")
        if not 0 < temperature < torch.inf:
            raise ValueError(
                f"query.temperature must be a number above 0, got {temperature}: 1 leaves logits unchanged"
            )
        self.uncertainty = uncertainty
        self.kernel: KernelName = kernel
        self.sigma = sigma
        self.temperature = temperature
        self._build_on(uncertainty, "embeddings")

    @property
    def name(self) -> str:
        """UHerding, followed by the uncertainty unless it is Margin."""
        return "UHerding" if self.uncertainty.name == "Margin" else f"UHerding-{self.uncertainty.name}"

    def shortlist_size(self, n: int) -> None:  # noqa: D102
        return None

    def select(self, shortlist: PoolOutputs, labeled: PoolOutputs | None, n: int, generator: Generator) -> Tensor:  # noqa: D102
        x = shortlist.embedding_rows()
        centers = x[:0] if labeled is None else labeled.embedding_rows()
        kernel = Kernel(self.kernel, self.sigma or _smallest_distance(centers) or 1.0)
        weight = self._weight(shortlist).to(x.device)
        return most_covering(GreedyCoverage(x, kernel, weight, centers), len(x), n, generator)

    def _weight(self, pool: PoolOutputs) -> Tensor:
        scaled = {
            name: value / self.temperature
            for name in ("logits", "mc_logits")
            if (value := getattr(pool, name)) is not None
        }
        return self.uncertainty.score(replace(pool, **scaled), seed=0).double()


def _smallest_distance(rows: Rows) -> float | None:
    """Return the smallest distance between two different rows on the unit sphere; None if there are no two."""
    unit, smallest = UnitRows(rows), torch.inf
    x = unit.at(slice(None), torch.float64)
    for part in blocks(len(unit), len(unit)):
        square = x.square[part, None] + x.square - 2 * (x.x[part] @ x.x.T)
        copies = square <= 1e-12  # float32 rows differ by 1e-7; rounding leaves 1e-15 between copies
        smallest = min(smallest, float(square.masked_fill(copies, torch.inf).min()))
    return math.sqrt(smallest) if smallest < torch.inf else None
