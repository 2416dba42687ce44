"""Expected predictive information gain."""

import torch
from torch import Generator, Tensor

from msal_lightning.strategies.base import Strategy, check_mc_samples, mean_over_passes
from msal_lightning.strategies.outputs import PoolOutputs
from msal_lightning.strategies.shared.distances import blocks

_TINY = torch.finfo(torch.float32).tiny


class EPIG(Strategy):
    """Images whose labels say most about the predictions for target images: the mean of ``I(y; y* | x, x*)``, in nats.

    BALD counts information about the model; EPIG counts only what changes predictions, and is never larger. The target
    images are a random sample of the pool, drawn anew in each round. All images share the dropout masks of a pass,
    since joint predictions compare images.

    [0] Bickford Smith et al., 2023, Prediction-Oriented Bayesian Active Learning, arXiv 2304.08151

    Args:
        mc_samples: number of passes with dropout. The paper uses 100 and more.
        num_targets: number of target images; at least 1.

    Raises:
        ValueError: ``mc_samples`` is below 2, or ``num_targets`` is below 1.
    """

    needs = frozenset({"mc_logits"})
    shared_masks = True

    def __init__(self, mc_samples: int = 10, num_targets: int = 100) -> None:
        check_mc_samples(mc_samples, "at least 2")
        if num_targets < 1:
            raise ValueError(f"query.num_targets must be at least 1, got {num_targets}: 100 is the default")
        self.mc_samples = mc_samples
        self.num_targets = num_targets

    def shortlist_size(self, n: int) -> None:  # noqa: D102
        return None

    def select(self, shortlist: PoolOutputs, labeled: PoolOutputs | None, n: int, generator: Generator) -> Tensor:  # noqa: D102
        probabilities = shortlist.mc_probabilities()
        targets = torch.randperm(len(shortlist), generator=generator)[: self.num_targets].sort().values
        return information(probabilities, probabilities[:, targets]).argsort(descending=True, stable=True)[:n]


def information(pool: Tensor, targets: Tensor) -> Tensor:
    """Return the mean mutual information between the label of each row and that of a target.

    Args:
        pool: (T, N, C) probabilities of T passes.
        targets: (T, M, C) probabilities of the same passes.

    Returns:
        (N,) float32, in nats.
    """
    passes, count, num_classes = pool.shape
    of_pool: Tensor = torch.special.entr(mean_over_passes(pool)).sum(dim=1)
    of_targets = torch.special.entr(mean_over_passes(targets)).sum(dim=1).mean()
    right = targets.flatten(1) / passes
    of_both = torch.empty(count)
    for part in blocks(count, 8 * num_classes * right.shape[1]):  # 4 MB, which a core keeps in its cache
        left = pool[:, part].permute(1, 2, 0).flatten(0, 1)
        joint = (left @ right).clamp_min_(_TINY)
        entropy = -(joint.log() * joint).view(-1, num_classes * right.shape[1]).sum(dim=1)
        of_both[part] = entropy / targets.shape[1]
    found: Tensor = of_pool + of_targets - of_both
    return found
