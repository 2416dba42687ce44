"""Weights of classes in the loss, for labels that are far from balanced."""

from typing import Literal, get_args

import torch
from torch import Tensor

from msal_lightning.data.base import ActiveDataModule
from msal_lightning.errors import ConfigError

Weighting = Literal["none", "balanced"]


def check_weighting(weighting: str) -> None:
    """Check the option ``model.class_weights``.

    Raises:
        ConfigError: it is unknown.
    """
    if weighting not in get_args(Weighting):
        raise ConfigError(f"expected model.class_weights to be none or balanced, got '{weighting}'")


def check_balanced_once(weighting: str, data: ActiveDataModule) -> None:
    """Refuse to balance the classes twice, in the loss and in the batches.

    Raises:
        ConfigError: both options are balanced.
    """
    if weighting == data.sampling == "balanced":
        raise ConfigError(
            "expected model.class_weights or data.sampling to be balanced, got both, so that rare classes would weigh "
            "too much: leave one of them out"
        )


def balanced_weights(labels: Tensor, num_classes: int) -> Tensor:
    """Return the weight of each class: n / (C' n_c), so that all classes with labels weigh the same in the loss.

    scikit-learn calls these weights balanced (King and Zeng 2001, Logistic Regression in Rare Events Data).

    Args:
        labels: (n,) of any integer type.
        num_classes: C.

    Returns:
        (C,) float32; 0 for a class without labels. C' is the number of classes with labels.
    """
    counts = torch.bincount(labels.long(), minlength=num_classes).double()
    known = counts > 0
    weights = torch.where(known, counts.sum() / (known.sum() * counts.clamp(min=1)), 0.0)
    return weights.float()


def weights_of_fit(data: ActiveDataModule, num_classes: int) -> Tensor:
    """Return the balanced weights of the labels that a fit trains on, pseudo-labels included, (C,) float32."""
    _, pseudo = data.split.pseudo_labels
    return balanced_weights(torch.cat([data.labels[data.labeled].long(), pseudo.long()]), num_classes)
