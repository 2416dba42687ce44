"""ALFA-Mix: active learning by feature mixing."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from msal_lightning.errors import DataError
from msal_lightning.strategies.base import Strategy
from msal_lightning.strategies.outputs import PoolOutputs
from msal_lightning.strategies.shared.distances import blocks, nearest_rows
from msal_lightning.strategies.shared.kmeans import kmeans


class ALFAMix(Strategy):
    """Images whose predicted class changes if labeled features are mixed in, one nearest to each of b k-means centers.

    An anchor is the mean embedding z* of a class's labeled images. The closed form of the paper mixes
    ``(1 - α) z + α z*`` with ``α = epsilon/√D · ‖z* - z‖ ∇/‖∇‖ / (z* - z)``, where ∇ is the gradient of the predicted
    class's loss. The factor ``z* - z`` cancels: each anchor moves z along the gradient, by a length in proportion to
    its distance. The head is affine, so that along a line the predicted class changes once at most, and the farthest
    anchor decides. It is never the mean of all labeled images, which the authors' code takes for a class without any.

    If fewer than b predictions change, epsilon grows in equal steps up to 1, as in the authors' code, and random images
    fill the batch at last. k-means clusters normalized embeddings.

    [0] Parvaneh et al., 2022, Active Learning by Feature Mixing, arXiv 2203.07034, Eqs. 5 and 6

    Args:
        epsilon: above 0 and at most 1. 0.2 in the paper.

    Raises:
        ValueError: ``epsilon`` is out of range.
    """

    needs = frozenset({"embeddings"})
    needs_labeled = True
    needs_labels = True
    needs_head = True

    def __init__(self, epsilon: float = 0.2) -> None:
        if not 0 < epsilon <= 1:
            raise ValueError(f"query.epsilon must be above 0 and at most 1, got {epsilon}: 0.2 is the paper's value")
        self.epsilon = epsilon

    def shortlist_size(self, n: int) -> None:  # noqa: D102
        return None

    def select(self, shortlist: PoolOutputs, labeled: PoolOutputs | None, n: int, generator: Generator) -> Tensor:  # noqa: D102
        x = shortlist.require("embeddings").float()
        candidates = self._candidates(x, labeled, shortlist.require_head(), n)
        if len(candidates) > n:
            x = F.normalize(x[candidates], dim=1)
            centers, _ = kmeans(x, n, generator)
            return candidates[nearest_rows(x, centers)]
        rest = torch.ones(len(x), dtype=torch.bool)
        rest[candidates] = False
        others = rest.nonzero()[:, 0]
        return torch.cat([candidates, others[torch.randperm(len(others), generator=generator)[: n - len(candidates)]]])

    def _candidates(self, x: Tensor, labeled: PoolOutputs | None, head: Callable[[Tensor], Tensor], n: int) -> Tensor:
        """Return rows whose prediction changes, for the smallest epsilon with n of them: (M,) int64."""
        if labeled is None or not len(labeled):
            return torch.empty(0, dtype=torch.int64)
        centers, count = anchors(labeled.require("embeddings").float(), labeled.require("labels")), x.shape[1]
        far = torch.cat([torch.cdist(x[part], centers).amax(dim=1) for part in blocks(len(x), max(centers.shape))])
        length = torch.cat([change_length(x[part], head) for part in blocks(len(x), 4 * count)])
        epsilon = length * count**0.5 / far.clamp_min(torch.finfo(far.dtype).tiny)  # from which the class changes
        steps = 1
        while (epsilon < steps * self.epsilon).sum() < n and steps * self.epsilon < 1:
            steps += 1
        rows: Tensor = (epsilon < min(1, steps * self.epsilon)).nonzero()[:, 0]
        return rows


def anchors(embeddings: Tensor, labels: Tensor) -> Tensor:
    """Return the mean of each class that occurs: (K, D)."""
    means = [embeddings[labels == k].mean(dim=0) for k in torch.unique(labels)]
    return torch.stack(means)


def change_length(x: Tensor, head: Callable[[Tensor], Tensor]) -> Tensor:
    """Return how far rows can move along the gradient of their predicted class's loss until the class changes.

    Args:
        x: (N, D) float32.
        head: an affine map to logits (N, C).

    Returns:
        (N,) float32, infinite where the class does not change.

    Raises:
        DataError: the head is not affine.
    """
    with torch.inference_mode(False), torch.enable_grad():
        x = x.clone().requires_grad_()
        logits = head(x)
        predicted = logits.detach().argmax(dim=1)
        (gradient,) = torch.autograd.grad(F.cross_entropy(logits, predicted, reduction="sum"), x)
    with torch.no_grad():
        direction, logits = F.normalize(gradient, dim=1, eps=1e-30), logits.detach()
        slope = head(direction) - head(torch.zeros_like(x[:1]))
        bend = (head(x + direction) - logits - slope).abs().amax()
        if bend > 1e-3 * (logits.abs().amax() + slope.abs().amax()):
            raise DataError(
                "expected a head that is affine in the features (a linear layer) for ALFAMix, got another: pass the "
                "features before the last layer, and that layer"
            )
        lead = logits.gather(1, predicted[:, None]) - logits
        loss = slope - slope.gather(1, predicted[:, None])
        return torch.where(loss > 0, lead / loss, torch.inf).amin(dim=1)
