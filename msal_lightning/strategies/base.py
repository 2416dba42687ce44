"""The contract of every query strategy: score → shortlist → select, tensors in and row numbers out."""

import math
from abc import ABC, abstractmethod

import torch
from torch import Generator, Tensor

from msal_lightning.strategies.outputs import PoolOutputs


class Strategy(ABC):
    """Selects the images of the pool to label.

    A strategy sees only the model's outputs: no Trainer, module, data, device, file or global randomness.

    Attributes:
        needs: names of the outputs that it reads; if empty, it needs no pass over the pool.
        on_device: names of outputs that it can read on any device; the others are on the CPU. They stay on a GPU if
            they fit. The selection must be the same wherever they are.
        embeddings_by_rows: whether it has no score, and reads embeddings some rows at a time, on any device, by
            :meth:`PoolOutputs.embedding_rows`. Then they may stay in a file.
        mc_samples: T, the number of passes with dropout in ``mc_logits``.
        shared_masks: whether a pass must use the same dropout mask for all images, because the strategy compares
            several images.
        needs_prototypes: whether it is defined only on the prototype head.
        needs_labeled: whether it needs the same outputs of the labeled set.
        needs_labels: whether it needs the labels of the labeled set, too, as ``labeled.labels``.
        needs_head: whether it calls the head on features of its own, as ``shortlist.head``.
        needs_groups: whether it needs the group of each row, as ``shortlist.groups``.
        min_classes: smallest number of classes for which it is defined.
    """

    needs: frozenset[str] = frozenset({"logits"})
    on_device: frozenset[str] = frozenset()
    embeddings_by_rows: bool = False
    mc_samples: int = 0
    shared_masks: bool = False
    needs_prototypes: bool = False
    needs_labeled: bool = False
    needs_labels: bool = False
    needs_head: bool = False
    needs_groups: bool = False
    min_classes: int = 2

    @property
    def name(self) -> str:
        """Name in tables and run directories."""
        return type(self).__name__

    def score(self, pool: PoolOutputs, seed: int) -> Tensor:
        """Score each row, higher = query first; not called if :meth:`shortlist_size` returns None.

        Args:
            pool: N rows with the outputs in ``needs``.
            seed: seed of the round's query stream. Draw noise per row from (seed, index), never in sequence, so that
                batches and ranks do not matter: :func:`~msal_lightning.seeding.noise_of_rows`.

        Returns:
            (N,) float32, finite.
        """
        raise NotImplementedError(f"{self.name} has no score")

    @abstractmethod
    def shortlist_size(self, n: int) -> int | None:
        """Return how many of the best rows :meth:`select` needs to select n; None for every row, without scores.

        Only these rows are kept in memory while the pool streams through.
        """

    def condense(self, pool: PoolOutputs, n: int) -> PoolOutputs:
        """Keep only what :meth:`select` needs of rows that may enter the shortlist; by default everything.

        With very many classes a shortlist of all logits would take gigabytes.

        Args:
            pool: N rows with the outputs in ``needs``, and with ``score`` if :meth:`score` was called.
            n: number of rows to select.

        Returns:
            The same rows, for example without logits but with ``condensed``.
        """
        return pool

    @abstractmethod
    def select(self, shortlist: PoolOutputs, labeled: PoolOutputs | None, n: int, generator: Generator) -> Tensor:
        """Select rows of the shortlist, best first.

        Args:
            shortlist: M rows in ascending order of index, with ``score`` if :meth:`score` was called, and as
                :meth:`condense` leaves them; with ``head`` if ``needs_head``, and ``groups`` if
                ``needs_groups``.
            labeled: the same outputs of the labeled set, in ascending order of index, with ``labels`` if
                ``needs_labels``; None unless ``needs_labeled``.
            n: number of rows to select, at most M.
            generator: the round's query stream.

        Returns:
            (n,) int64 rows of the shortlist, none twice.
        """

    def pseudo_labels(self, pool: PoolOutputs, round: int) -> Tensor | None:
        """Return predictions that are certain enough to train the next fit; they cost no budget.

        Args:
            pool: N rows with the outputs in ``needs``, and with ``score`` if :meth:`score` was called.
            round: k, round of the model that made the predictions.

        Returns:
            (N,) int64, a class or -1 for none; None if the strategy makes no pseudo-labels.
        """
        return None

    def pseudo_label_threshold(self, round: int) -> float | None:
        """Return the score below which a row gets a pseudo-label; None without a threshold.

        Args:
            round: k.
        """
        return None

    def expect_queries(self, num_queries: int) -> None:
        """Prepare for a run of known length; the loop calls this before the first query.

        Args:
            num_queries: number of queries of the run, in rounds 0 to ``num_queries - 1``.
        """

    def _build_on(self, part: "Strategy", *needs: str) -> None:
        """Add the needs of a part, and the named outputs, to those of a composite strategy."""
        self.needs = part.needs | set(needs)
        self.mc_samples = part.mc_samples
        self.shared_masks = self.shared_masks or part.shared_masks
        self.needs_prototypes = self.needs_prototypes or part.needs_prototypes
        self.needs_labeled = self.needs_labeled or part.needs_labeled
        self.needs_labels = self.needs_labels or part.needs_labels
        self.needs_head = self.needs_head or part.needs_head
        self.needs_groups = self.needs_groups or part.needs_groups
        self.min_classes = max(self.min_classes, part.min_classes)


class ScoreStrategy(Strategy):
    """A strategy that selects the n rows with the highest scores."""

    @abstractmethod
    def score(self, pool: PoolOutputs, seed: int) -> Tensor:  # noqa: D102
        ...

    def shortlist_size(self, n: int) -> int:  # noqa: D102
        return n

    def select(self, shortlist: PoolOutputs, labeled: PoolOutputs | None, n: int, generator: Generator) -> Tensor:  # noqa: D102
        return by_score(shortlist)[:n]


class Uncertainty(ScoreStrategy):
    """A score that measures how uncertain the model is: at least 0, and 0 = certain.

    DBAL and PowerAcquisition use the score as a weight and rely on this range.
    """


class ProbabilityUncertainty(Uncertainty):
    """An uncertainty that is a function of the predicted probabilities.

    Args:
        mc_samples: number of passes with dropout whose probabilities are averaged; 0 uses the model without dropout.

    Raises:
        ValueError: ``mc_samples`` is 1 or negative.
    """

    def __init__(self, mc_samples: int = 0) -> None:
        if mc_samples:
            check_mc_samples(mc_samples, "0 (the model as it is) or at least 2")
            self.needs = frozenset({"mc_logits"})
            self.mc_samples = mc_samples

    @property
    def name(self) -> str:
        """The class name, with a D for dropout as in the paper's tables."""
        return f"{type(self).__name__}D" if self.mc_samples else type(self).__name__

    def score(self, pool: PoolOutputs, seed: int) -> Tensor:  # noqa: D102
        return self.of(mean_over_passes(pool.mc_probabilities()) if self.mc_samples else pool.probabilities())

    @abstractmethod
    def of(self, probabilities: Tensor) -> Tensor:
        """Compute the uncertainty of predictions: (N, C) to (N,)."""


class MCUncertainty(Uncertainty):
    """An uncertainty that compares T passes with dropout on.

    Args:
        mc_samples: T, number of passes.

    Raises:
        ValueError: ``mc_samples`` is below 2.
    """

    needs = frozenset({"mc_logits"})

    def __init__(self, mc_samples: int = 10) -> None:
        check_mc_samples(mc_samples, "at least 2")
        self.mc_samples = mc_samples


class PrefilterStrategy(Strategy):
    """A strategy that selects among the ``ceil(beta·b)`` rows with the highest uncertainty.

    Args:
        uncertainty: the score of the pre-filter.
        beta: number of kept rows divided by b; at least 1.
        *needs: outputs that the selection reads.

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
    """Reject a number of dropout passes that is too small to compare.

    Raises:
        ValueError: the number is below 2.
    """
    if mc_samples < 2:
        raise ValueError(f"query.mc_samples must be {expected}, got {mc_samples}: 10 is usual")


def mean_over_passes(values: Tensor) -> Tensor:
    """Return the mean over the first axis: (T, N, ...) to (N, ...).

    It adds pass by pass: torch's sum has an order that depends on N, so a row's score would depend on its batch.
    """
    total = values[0].clone()
    for one in values[1:]:
        total += one
    return total / len(values)


def by_score(pool: PoolOutputs) -> Tensor:
    """Sort rows from the highest score to the lowest, ties by lower row: (N,) int64."""
    return torch.argsort(pool.require("score"), descending=True, stable=True)
