"""TypiClust, then Margin."""

import math
from dataclasses import replace

from torch import Generator, Tensor

from msal_lightning.strategies.base import Strategy, by_score
from msal_lightning.strategies.margin import Margin
from msal_lightning.strategies.outputs import PoolOutputs
from msal_lightning.strategies.typiclust import TypiClust


class TCM(Strategy):
    """TypiClust while there are few labels, then Margin.

    Typical images start a classifier, uncertain ones refine it. The strategy changes between two rounds: Margin selects
    as soon as the labeled set has ``labels_per_class`` images for each class on average. The paper has a heuristic for
    the transition and the query size; this rule, which does not depend on the query size, is ours.

    [0] Doucet, Estermann, Aczel and Wattenhofer, 2024, Bridging Diversity and Uncertainty in Active Learning with
    Self-Supervised Pre-Training, arXiv 2403.03728

    Args:
        labels_per_class: size of the labeled set, divided by the number of classes, from which on Margin selects; at
            least 0. The default is ours.

    Raises:
        ValueError: ``labels_per_class`` is below 0.
    """

    needs = frozenset({"embeddings", "logits"})
    embeddings_by_rows = True
    needs_labeled = True

    def __init__(self, labels_per_class: float = 5.0) -> None:
        if not 0 <= labels_per_class < math.inf:
            raise ValueError(
                f"query.labels_per_class must be a number of at least 0, got {labels_per_class}: 5 is the default"
            )
        self.labels_per_class = labels_per_class

    def shortlist_size(self, n: int) -> None:  # noqa: D102
        return None

    def select(self, shortlist: PoolOutputs, labeled: PoolOutputs | None, n: int, generator: Generator) -> Tensor:  # noqa: D102
        num_classes = shortlist.require("logits").shape[1]
        if labeled is None or len(labeled) < self.labels_per_class * num_classes:
            return TypiClust().select(shortlist, labeled, n, generator)
        return by_score(replace(shortlist, score=Margin().score(shortlist, seed=0)))[:n]
