"""Cost-effective active learning: pseudo-labels for images with certain predictions."""

from typing import Literal

import torch
from torch import Generator, Tensor

from msal_lightning.strategies.base import Strategy, Uncertainty, by_score
from msal_lightning.strategies.entropy import Entropy
from msal_lightning.strategies.msal import MSAL
from msal_lightning.strategies.outputs import PoolOutputs


class CEAL(Strategy):
    """Selects the most uncertain images; the most certain ones train the next fit with their predicted label.

    An image is certain if its uncertainty is below ``max(0, threshold - round · decay)``. With the defaults this
    threshold is 0 from round 16 on, so CEAL then makes no pseudo-labels and equals its uncertainty. Pseudo-labels cost
    no budget, are discarded after the fit that used them, and never enter the labeled set.

    [0] Wang et al., 2016, Cost-Effective Active Learning for Deep Image Classification, arXiv 1701.03551

    Args:
        uncertainty: Entropy, in nats (Table 2), or MSAL, ``1 - max cos`` (Table 4).
        threshold: the paper's delta, at round 0.
        decay: subtracted from the threshold each round. ``span`` lets the threshold fall evenly over all queries of the
            run, down to ``threshold / number of queries`` at the last one; outside a loop that number is unknown, and
            the threshold stays constant.

    Raises:
        ValueError: the uncertainty is another one, or threshold or decay is negative.
    """

    def __init__(
        self,
        uncertainty: Uncertainty = Entropy(),  # noqa: B008 - stateless
        threshold: float = 0.05,
        decay: float | Literal["span"] = 0.0033,
    ) -> None:
        if type(uncertainty) not in (Entropy, MSAL):
            raise ValueError(
                f"query.uncertainty of CEAL must be Entropy or MSAL, got {uncertainty.name}: the threshold is defined "
                "only for these two"
            )
        if not 0 <= threshold < torch.inf:
            raise ValueError(f"query.threshold must be a number of at least 0, got {threshold}: see CEAL's defaults")
        if decay != "span" and not (isinstance(decay, int | float) and 0 <= decay < torch.inf):
            raise ValueError(f"query.decay must be a number of at least 0, got {decay}: 0.0033 is Wang's, or set span")
        self.uncertainty = uncertainty
        self.threshold = threshold
        self.decay = decay
        self._num_queries: int | None = None
        self._build_on(uncertainty, "logits")

    @property
    def name(self) -> str:
        """CEAL, followed by its uncertainty."""
        return f"CEAL-{self.uncertainty.name}"

    def score(self, pool: PoolOutputs, seed: int) -> Tensor:  # noqa: D102
        return self.uncertainty.score(pool, seed)

    def shortlist_size(self, n: int) -> int:  # noqa: D102
        return n

    def select(self, shortlist: PoolOutputs, labeled: PoolOutputs | None, n: int, generator: Generator) -> Tensor:  # noqa: D102
        return by_score(shortlist)[:n]

    def pseudo_labels(self, pool: PoolOutputs, round: int) -> Tensor:  # noqa: D102
        sure = pool.require("score") < self.pseudo_label_threshold(round)
        return torch.where(sure, pool.require("logits").argmax(dim=-1), -1)

    def pseudo_label_threshold(self, round: int) -> float:  # noqa: D102
        if self.decay == "span":
            return self.threshold * (1 - round / self._num_queries) if self._num_queries else self.threshold
        return max(0.0, self.threshold - round * self.decay)

    def expect_queries(self, num_queries: int) -> None:  # noqa: D102
        self._num_queries = num_queries
