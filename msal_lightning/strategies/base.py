"""The contract of every query strategy: score → shortlist → select, tensors in and row numbers out."""

import math
from abc import ABC, abstractmethod

import torch
from torch import Generator, Tensor

from msal_lightning.strategies.outputs import PoolOutputs


class Strategy(ABC):
    """Chooses which images of the pool to buy labels for.

    A strategy sees the model's outputs and nothing else: no Trainer, module, data, device, file or global randomness.

    Attributes:
        needs: the outputs that it reads; empty: it needs no pass over the pool at all.
        mc_samples: T, how many passes with dropout it needs ``mc_logits`` of.
        shared_masks: a pass must be the same model for all images, since it looks at several together.
        needs_prototypes: it has a meaning on the prototype head only.
        needs_labeled: it wants the same outputs of the labeled set.
        min_classes: fewest classes for which it has a meaning.
    """

    needs: frozenset[str] = frozenset({"logits"})
    mc_samples: int = 0
    shared_masks: bool = False
    needs_prototypes: bool = False
    needs_labeled: bool = False
    min_classes: int = 2

    @property
    def name(self) -> str:
        """What tables and run directories call it."""
        return type(self).__name__

    def score(self, pool: PoolOutputs, seed: int) -> Tensor:
        """How much each row is worth, higher = query first; not called where :meth:`shortlist_size` is None.

        Args:
            pool: N rows with what ``needs`` names.
            seed: of the round's query stream; noise is drawn per row from (seed, index), never in sequence, so that
                batches and ranks don't matter: :func:`~msal_lightning.seeding.noise_of_rows`.

        Returns:
            (N,) float32, finite.
        """
        raise NotImplementedError(f"{self.name} has no score")

    @abstractmethod
    def shortlist_size(self, n: int) -> int | None:
        """How many of the best-scored rows :meth:`select` wants to see to buy n; None: every row, unscored.

        This is the memory of a query: all other rows are forgotten while the pool streams through.
        """

    @abstractmethod
    def select(self, shortlist: PoolOutputs, labeled: PoolOutputs | None, n: int, generator: Generator) -> Tensor:
        """Which rows of the shortlist to buy, best first.

        Args:
            shortlist: M rows in ascending order of index, with ``score`` where :meth:`score` was called.
            labeled: the same outputs of the labeled set, in ascending order of index; None unless ``needs_labeled``.
            n: how many, at most M.
            generator: the round's query stream.

        Returns:
            (n,) int64 rows of the shortlist, none twice.
        """

    def pseudo_labels(self, pool: PoolOutputs, round: int) -> Tensor | None:
        """Predictions sure enough to train on in the next fit, as if they were labels; they cost no budget.

        Args:
            pool: N rows with what ``needs`` names, and their ``score`` where :meth:`score` was called.
            round: k, of the model that made the predictions.

        Returns:
            (N,) int64, a class or -1 for none; None: this strategy makes no pseudo-labels.
        """
        return None

    def pseudo_label_threshold(self, round: int) -> float | None:
        """The score below which a row gets a pseudo-label; None: this strategy has no such threshold.

        Args:
            round: k.
        """
        return None

    def expect_queries(self, num_queries: int) -> None:
        """The loop calls this before its first query, for strategies that do something over the length of a run.

        Args:
            num_queries: that the run will make, in rounds 0 to ``num_queries - 1``.
        """

    def _build_on(self, part: "Strategy", *needs: str) -> None:
        """For composites: need what a part needs, and the outputs named."""
        self.needs = part.needs | set(needs)
        self.mc_samples = part.mc_samples
        self.shared_masks = self.shared_masks or part.shared_masks
        self.needs_prototypes = self.needs_prototypes or part.needs_prototypes
        self.needs_labeled = self.needs_labeled or part.needs_labeled
        self.min_classes = max(self.min_classes, part.min_classes)


class ScoreStrategy(Strategy):
    """A strategy that is nothing but a score: it buys the n rows with the highest."""

    @abstractmethod
    def score(self, pool: PoolOutputs, seed: int) -> Tensor:  # noqa: D102
        ...

    def shortlist_size(self, n: int) -> int:  # noqa: D102
        return n

    def select(self, shortlist: PoolOutputs, labeled: PoolOutputs | None, n: int, generator: Generator) -> Tensor:  # noqa: D102
        return by_score(shortlist)[:n]


class Uncertainty(ScoreStrategy):
    """A score that says how unsure the model is: at least 0, and 0 = certain.

    What weights rows by their score relies on this range: DBAL and PowerAcquisition.
    """


class ProbabilityUncertainty(Uncertainty):
    """An uncertainty that is a function of the predicted probabilities.

    Args:
        mc_samples: 0: the model as it is; T: probabilities averaged over T passes with dropout on.

    Raises:
        ValueError: one or fewer than no passes.
    """

    def __init__(self, mc_samples: int = 0) -> None:
        if mc_samples:
            check_mc_samples(mc_samples, "0 (the model as it is) or at least 2")
            self.needs = frozenset({"mc_logits"})
            self.mc_samples = mc_samples

    @property
    def name(self) -> str:
        """The class, with a D for dropout as in the paper's tables."""
        return f"{type(self).__name__}D" if self.mc_samples else type(self).__name__

    def score(self, pool: PoolOutputs, seed: int) -> Tensor:  # noqa: D102
        return self.of(mean_over_passes(pool.mc_probabilities()) if self.mc_samples else pool.probabilities())

    @abstractmethod
    def of(self, probabilities: Tensor) -> Tensor:
        """The uncertainty of predictions: (N, C) to (N,)."""


class MCUncertainty(Uncertainty):
    """An uncertainty that compares T passes with dropout on.

    Args:
        mc_samples: T.

    Raises:
        ValueError: fewer than two passes.
    """

    needs = frozenset({"mc_logits"})

    def __init__(self, mc_samples: int = 10) -> None:
        check_mc_samples(mc_samples, "at least 2")
        self.mc_samples = mc_samples


class PrefilterStrategy(Strategy):
    """A strategy that chooses among the ``ceil(beta·b)`` rows of the highest uncertainty.

    Args:
        uncertainty: the score of the pre-filter.
        beta: how many times b rows it keeps; at least 1.
        *needs: outputs that the choice among them reads.

    Raises:
        ValueError: beta below 1.
    """

    def __init__(self, uncertainty: ScoreStrategy, beta: float, *needs: str) -> None:
        if not 1 <= beta < math.inf:
            raise ValueError(f"query.beta must be a number of at least 1, got {beta}: fewer rows cannot fill b")
        self.uncertainty = uncertainty
        self.beta = beta
        self._build_on(uncertainty, *needs)

    def score(self, pool: PoolOutputs, seed: int) -> Tensor:  # noqa: D102
        return self.uncertainty.score(pool, seed)

    def shortlist_size(self, n: int) -> int:  # noqa: D102
        return math.ceil(self.beta * n)

    @abstractmethod
    def select(self, shortlist: PoolOutputs, labeled: PoolOutputs | None, n: int, generator: Generator) -> Tensor:  # noqa: D102
        ...


def check_mc_samples(mc_samples: int, expected: str) -> None:
    """Refuse a number of dropout passes that cannot be compared.

    Raises:
        ValueError: fewer than two.
    """
    if mc_samples < 2:
        raise ValueError(f"query.mc_samples must be {expected}, got {mc_samples}: 10 is usual")


def mean_over_passes(values: Tensor) -> Tensor:
    """Mean over the first axis: (T, N, ...) to (N, ...).

    Pass by pass, since a sum of torch's adds in an order that depends on N, and a row's score would on its batch.
    """
    total = values[0].clone()
    for one in values[1:]:
        total += one
    return total / len(values)


def by_score(pool: PoolOutputs) -> Tensor:
    """Rows from the highest score to the lowest, ties by lower row: (N,) int64."""
    return torch.argsort(pool.require("score"), descending=True, stable=True)
