"""Maximally separated active learning with diversity."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

import torch
from torch import Generator, Tensor

from msal_lightning.models.prototypes import cosine_to_prototypes, largest_cosine
from msal_lightning.strategies.base import PrefilterStrategy, ScoreStrategy, by_score
from msal_lightning.strategies.msal import MSAL
from msal_lightning.strategies.outputs import PoolOutputs
from msal_lightning.strategies.shared.class_coverage import cover_classes


class MSALD(PrefilterStrategy):
    """The images closest to each prototype in turn, among the beta·b most uncertain (Algorithm 1).

    Each class takes ``b // C`` rows; the remaining ``b mod C`` are the rows closest to their own nearest prototype, at
    most one per class. If classes run out of rows, the most uncertain rows fill the batch.

    The rows closest to a prototype are the most certain of the uncertain ones, and may be alike. The form
    ``diversity: coverage``, which is not in the paper, considers for each class only rows whose nearest prototype is
    its own. The class takes the ``b // C`` rows that, one at a time, add most to the generalized coverage of these rows
    (as :class:`MaxHerding` with bandwidth 1). A class with fewer rows takes them all. The remaining rows of the batch
    are those that, one at a time, add most to the coverage of the whole shortlist; the rows taken before cover it too.
    This form needs embeddings. It works on any head on which the uncertainty does: on a linear head, the nearest
    prototype is the predicted class.

    [0] Kasarla et al., 2024, Maximally Separated Active Learning, arXiv 2411.17444, Algorithm 1

    Args:
        uncertainty: the score of the pre-filter: MSAL, Entropy, Margin, LeastConfidence (Table 3), or any other score.
        beta: the pre-filter keeps ``ceil(beta·b)`` rows; at least 1. The paper uses 5 for MNIST and SVHN, otherwise 10.
        diversity: ``nearest`` takes the rows closest to each prototype, as in the paper, on the prototype head only;
            ``coverage`` takes rows that cover those of each class.

    Raises:
        ValueError: beta below 1, or another diversity.
    """

    needs_prototypes = True

    def __init__(
        self,
        uncertainty: ScoreStrategy = MSAL(),  # noqa: B008 - stateless
        beta: float = 5.0,
        diversity: Literal["nearest", "coverage"] = "nearest",
    ) -> None:
        if diversity not in ("nearest", "coverage"):
            raise ValueError(f"query.diversity must be nearest or coverage, got {diversity}: nearest is the paper's")
        self.diversity = diversity
        if diversity == "coverage":
            self.needs_prototypes = False
        super().__init__(uncertainty, beta, "logits", *(["embeddings"] if diversity == "coverage" else []))

    @property
    def name(self) -> str:
        """MSALD, followed by the uncertainty unless it is MSAL, and by the diversity unless it is the paper's."""
        name = "MSALD" if type(self.uncertainty) is MSAL else f"MSALD-{self.uncertainty.name}"
        return f"{name}-coverage" if self.diversity == "coverage" else name

    def condense(self, pool: PoolOutputs, n: int) -> PoolOutputs:
        """Keep the nearest class of each row instead of its logits if there are more classes than rows to select."""
        logits = pool.require("logits")
        return pool if n >= logits.shape[1] else replace(pool, logits=None, condensed=_nearest_class(logits))

    def select(self, shortlist: PoolOutputs, labeled: PoolOutputs | None, n: int, generator: Generator) -> Tensor:  # noqa: D102
        if self.diversity == "coverage":
            return _by_coverage(shortlist, n, generator)
        free = torch.ones(len(shortlist), dtype=torch.bool, device=shortlist.require("score").device)
        picks: list[Tensor] = []

        def take(rows: Tensor) -> None:
            picks.append(rows)
            free[rows] = False

        for order, share in _by_class(shortlist, n):
            take(order[free[order]][:share])

        nearest, cosine, logit = _nearest_class_of(shortlist).unbind(dim=1)
        order = _closest_first(cosine, logit)
        order = order[free[order]]
        take(order[_first_of_each(nearest[order])][: n - _count(picks)])

        order = by_score(shortlist)
        take(order[free[order]][: n - _count(picks)])
        return torch.cat(picks)


def _by_coverage(shortlist: PoolOutputs, n: int, generator: Generator) -> Tensor:
    logits, embeddings = shortlist.logits, shortlist.require("embeddings")
    if logits is None:  # condensed: no class has a share of its own
        return cover_classes(embeddings, None, 0, n, generator)
    return cover_classes(embeddings, logits.argmax(dim=1), n // logits.shape[1], n, generator)


def _by_class(shortlist: PoolOutputs, n: int) -> Iterator[tuple[Tensor, int]]:
    """Yield, for each class, the rows from the closest to its prototype to the farthest, and how many it takes."""
    if shortlist.logits is None:  # condensed: no class has a share of its own
        return
    logits = shortlist.logits.float()
    num_classes = logits.shape[1]
    if share := n // num_classes:
        cosine = _cosines(logits)
        for c in range(num_classes):
            yield _closest_first(cosine[:, c], logits[:, c]), share


def _nearest_class_of(shortlist: PoolOutputs) -> Tensor:
    return _nearest_class(shortlist.require("logits")) if shortlist.condensed is None else shortlist.condensed


def _nearest_class(logits: Tensor) -> Tensor:
    """Return the nearest class of each row, with its cosine and its logit: (M, C) to (M, 3) float64."""
    logits = logits.float()
    logit, nearest = logits.max(dim=1)  # the largest cosine too, which has one more rounding
    cosine = logit.sign() if logits.shape[1] == 2 else largest_cosine(logits)
    return torch.stack([nearest.double(), cosine.double(), logit.double()], dim=1)


def _cosines(logits: Tensor) -> Tensor:
    # With two classes the cosine is the sign of the logit; rounding must not break those ties first.
    return logits.sign() if logits.shape[1] == 2 else cosine_to_prototypes(logits)


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
