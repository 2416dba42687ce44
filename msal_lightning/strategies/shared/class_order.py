"""Images in the order of their scores for a class, as GALAXY and DIRECT see them."""

import torch
from torch import Tensor

from msal_lightning.strategies.outputs import PoolOutputs

UNKNOWN = -1


def class_scores(probabilities: Tensor) -> Tensor:
    """Score each image for each class: (N, C) probabilities to (N, C) float64.

    The score is the probability minus the largest one. Images of the predicted class, where that is 0, are ranked by
    their probability; the authors' code adds the same small term.
    """
    p = probabilities.double()
    largest = p.amax(dim=1, keepdim=True)
    return p - largest + 1e-8 * largest


def with_labeled(pool: PoolOutputs, labeled: PoolOutputs | None) -> tuple[Tensor, Tensor]:
    """Return the probabilities of the pool followed by the labeled set, and their labels.

    Returns:
        (N, C) float32, and (N,) int64 with -1 for the pool.
    """
    probabilities, labels = [pool.probabilities()], [torch.full((len(pool),), UNKNOWN)]
    if labeled is not None:
        probabilities.append(labeled.probabilities())
        labels.append(labeled.require("labels"))
    return torch.cat(probabilities), torch.cat(labels)
