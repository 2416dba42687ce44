"""Mean and standard deviation of features, in one pass that also finds features that are not finite."""

import torch
from torch import Tensor

from msal_lightning.data.features.feature_files import FeatureRows
from msal_lightning.errors import DataError
from msal_lightning.io.wording import first_few

_BLOCK = 8192  # rows


def find_statistics(features: FeatureRows, index: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return the mean of each feature, and its standard deviation; 1 for a feature that is constant.

    Args:
        features: the rows of the training split.
        index: (n,) int64, the rows to look at; None: all.

    Returns:
        (D,) float32 each.

    Raises:
        DataError: a feature is NaN or infinite.
    """
    rows = torch.arange(features.shape[0]) if index is None else index
    width, count = features.shape[1], len(rows)
    first = features[rows[:_BLOCK]].flatten(1).float()
    shift = first.nanmean(dim=0).nan_to_num_(0, 0, 0)  # squares of far values would lose their digits
    total, squares = torch.zeros(2, width, dtype=torch.float64)
    for part in torch.split(rows, _BLOCK):
        block = features[part].flatten(1).float() - shift
        added = block.sum(dim=0, dtype=torch.float64)
        if not added.isfinite().all():
            refuse_rows(features.numbers(part[~block.isfinite().all(dim=1)]))
        total += added
        squares += block.square_().sum(dim=0, dtype=torch.float64)
    mean = total / count
    std = (squares / count - mean.square()).clamp_min(0).sqrt()
    constant = std <= 1e-6 * (mean + shift).abs()
    return (mean + shift).float(), std.masked_fill(constant, 1.0).float()


def refuse_rows(rows: list[int]) -> None:
    """Raise an error that names rows with NaN or infinity.

    Args:
        rows: their numbers.

    Raises:
        DataError: always.
    """
    raise DataError(
        f"expected finite features, got NaN or infinity in row {first_few(rows)} (counted from 0 over all files): "
        "remove them"
    )
