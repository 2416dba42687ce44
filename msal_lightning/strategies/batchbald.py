"""BatchBALD: the joint information of a batch."""

import torch
from torch import Generator, Tensor

from msal_lightning.strategies.bald import BALD
from msal_lightning.strategies.base import PrefilterStrategy
from msal_lightning.strategies.outputs import PoolOutputs
from msal_lightning.strategies.shared.distances import blocks

_TINY = torch.finfo(torch.float32).tiny


class BatchBALD(PrefilterStrategy):
    """Images whose labels are jointly most informative, chosen greedily among the beta·b with the highest BALD.

    BALD counts the information of two similar images twice; the joint mutual information ``H(y₁…y_b) - Σ mean_t H(y_i |
    t)`` does not. The joint entropy is exact while there are few combinations of labels; after that it is estimated
    from combinations drawn from the model. It cannot exceed ``ln T``: large batches need many passes.

    [0] Kirsch, van Amersfoort and Gal, 2019, BatchBALD: Efficient and Diverse Batch Acquisition for Deep Bayesian
    Active Learning, arXiv 1906.08158

    Args:
        mc_samples: T; 100 in the paper.
        beta: the pre-filter keeps ``ceil(beta·b)`` rows; at least 1.
        configurations: largest number of label combinations; at least T.

    Raises:
        ValueError: an argument is out of range.
    """

    shared_masks = True

    def __init__(self, mc_samples: int = 100, beta: float = 10.0, configurations: int = 1000) -> None:
        if configurations < mc_samples:
            raise ValueError(
                f"query.configurations must be at least query.mc_samples ({mc_samples}), got {configurations}: "
                "1000 is the default"
            )
        super().__init__(BALD(mc_samples), beta)
        self.configurations = configurations

    def select(self, shortlist: PoolOutputs, labeled: PoolOutputs | None, n: int, generator: Generator) -> Tensor:  # noqa: D102
        p = shortlist.mc_probabilities()  # (T, M, C)
        given_model = torch.special.entr(p).sum(dim=-1).mean(dim=0)  # H(y | t), the mean over t
        batch = _Batch(p, max(self.configurations, len(p)), generator)  # a combination at least from each pass
        free = torch.ones(len(shortlist), dtype=torch.bool)
        picks: list[int] = []
        for _ in range(n):
            gain = batch.entropy_of_next() - given_model
            picks.append(int(gain.masked_fill(~free, -torch.inf).argmax()))
            free[picks[-1]] = False
            batch.add(picks[-1])
        return torch.tensor(picks)


class _Batch:
    """Combinations of the chosen rows' labels, with their log probability given each pass.

    Args:
        p: (T, M, C) probabilities of each pass.
        limit: largest number of combinations.
        generator: draws combinations if there are more.
    """

    def __init__(self, p: Tensor, limit: int, generator: Generator) -> None:
        self.p = p
        self.limit = limit
        self.generator = generator
        self.rows: list[int] = []
        self.log_given = torch.zeros(1, len(p), dtype=torch.float64)  # (combinations, T)
        self.drawn_from: Tensor | None = (
            None  # (combinations,): the pass that each was drawn from; None: all combinations
        )

    def entropy_of_next(self) -> Tensor:
        """Return the entropy of one more label given the chosen ones, for each row: (M,)."""
        num_passes, num_rows, num_classes = self.p.shape
        chance = self.log_given.logsumexp(dim=1).exp() / num_passes
        weight = (chance if self.drawn_from is None else torch.full_like(chance, 1 / len(chance))).float()
        posterior = self.log_given.softmax(dim=1).float()  # of the pass, given the combination
        entropy = []
        for part in blocks(num_rows, num_classes * len(posterior)):
            predicted = (posterior @ self.p[:, part].flatten(1)).view(len(posterior), -1, num_classes)
            entropy.append(weight @ torch.special.entr(predicted).sum(dim=-1))
        return torch.cat(entropy)

    def add(self, row: int) -> None:
        """Add a row to the batch."""
        self.rows.append(row)
        num_classes = self.p.shape[2]
        if self.drawn_from is None and len(self.log_given) * num_classes <= self.limit:
            log_p = self.p[:, row].clamp_min(_TINY).double().log()  # (T, C)
            self.log_given = (self.log_given[:, None] + log_p.T).flatten(0, 1)
        elif self.drawn_from is None:
            passes = torch.arange(len(self.p))
            self.drawn_from = passes.repeat_interleave(self.limit // len(self.p))
            self.log_given = sum((self._draw(row) for row in self.rows), torch.zeros((), dtype=torch.float64))
        else:
            self.log_given = self.log_given + self._draw(row)

    def _draw(self, row: int) -> Tensor:
        """Draw the row's label from the pass of each combination; its log probability given each pass."""
        p = self.p[:, row]
        label = torch.multinomial(p[self.drawn_from], 1, generator=self.generator)[:, 0]
        return p[:, label].T.clamp_min(_TINY).double().log()
