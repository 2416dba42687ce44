"""Maximally separated active learning with diversity."""

import torch
from torch import Generator, Tensor

from msal_lightning.models.prototypes import cosine_to_prototypes
from msal_lightning.strategies.base import PrefilterStrategy, ScoreStrategy, by_score
from msal_lightning.strategies.msal import MSAL
from msal_lightning.strategies.outputs import PoolOutputs


class MSALD(PrefilterStrategy):
    """The images closest to each prototype in turn, among the beta·b most uncertain (Algorithm 1); prototype head only.

    Each class takes ``b // C`` rows; the remaining ``b mod C`` are the rows closest to their own nearest prototype, at
    most one per class. If classes run out of rows, the most uncertain rows fill the batch.

    [0] Kasarla et al., Maximally Separated Active Learning, Algorithm 1

    Args:
        uncertainty: the score of the pre-filter: MSAL, Entropy, Margin, LeastConfidence (Table 3), or any other score.
        beta: the pre-filter keeps ``ceil(beta·b)`` rows; at least 1. The paper uses 5 for MNIST and SVHN, otherwise 10.

    Raises:
        ValueError: beta below 1.
    """

    needs_prototypes = True

    def __init__(self, uncertainty: ScoreStrategy = MSAL(), beta: float = 5.0) -> None:  # noqa: B008 - stateless
        super().__init__(uncertainty, beta, "logits")

    @property
    def name(self) -> str:
        """MSALD, followed by the uncertainty unless it is MSAL."""
        return "MSALD" if type(self.uncertainty) is MSAL else f"MSALD-{self.uncertainty.name}"

    def select(self, shortlist: PoolOutputs, labeled: PoolOutputs | None, n: int, generator: Generator) -> Tensor:  # noqa: D102
        logits = shortlist.require("logits").float()
        num_classes = logits.shape[1]
        # With two classes the cosine is the sign of the logit; rounding must not break those ties first.
        cosine = logits.sign() if num_classes == 2 else cosine_to_prototypes(logits)
        free = torch.ones(len(shortlist), dtype=torch.bool, device=logits.device)
        picks: list[Tensor] = []

        def take(rows: Tensor) -> None:
            picks.append(rows)
            free[rows] = False

        share = n // num_classes
        for c in range(num_classes if share else 0):
            order = _closest_first(cosine[:, c], logits[:, c])
            take(order[free[order]][:share])

        nearest = logits.argmax(
            dim=1
        )  # also the argmax of the cosine, which rises with the logit but has one more rounding
        own = nearest[:, None]
        order = _closest_first(cosine.gather(1, own)[:, 0], logits.gather(1, own)[:, 0])
        order = order[free[order]]
        take(order[_first_of_each(nearest[order])][: n - _count(picks)])

        order = by_score(shortlist)
        take(order[free[order]][: n - _count(picks)])
        return torch.cat(picks)


def _closest_first(cosine: Tensor, logit: Tensor) -> Tensor:
    """Sort rows by descending cosine, ties by descending logit, then by lower row: (M,) int64."""
    order = torch.argsort(logit, descending=True, stable=True)
    return order[torch.argsort(cosine[order], descending=True, stable=True)]


def _first_of_each(values: Tensor) -> Tensor:
    """Return the positions at which a value occurs for the first time, ascending."""
    order = torch.argsort(values, stable=True)
    in_order = values[order]
    new = torch.ones(len(values), dtype=torch.bool, device=values.device)
    new[1:] = in_order[1:] != in_order[:-1]
    return order[new].sort().values


def _count(picks: list[Tensor]) -> int:
    return sum(map(len, picks))
