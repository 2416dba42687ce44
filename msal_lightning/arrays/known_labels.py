"""What the caller of :func:`~msal_lightning.arrays.select.select` knows of the classes: their number, and labels."""

import operator
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from msal_lightning.arrays.rows import ArrayRows, as_array
from msal_lightning.errors import DataError
from msal_lightning.strategies.base import Strategy


def known_num_classes(num_classes: Any, given: Mapping[str, ArrayRows]) -> int | None:
    """Return C: the given number, otherwise that of the logits, otherwise None.

    Args:
        num_classes: given by the caller, or None.
        given: arrays by the name of their output.

    Raises:
        DataError: the number is below 2, or differs from that of the logits.
    """
    logits = given.get("logits", given.get("mc_logits"))
    if num_classes is None:
        return None if logits is None else int(logits.shape[-1])
    try:
        count = operator.index(num_classes)
    except TypeError:
        count = 0
    if count < 2:
        raise DataError(
            f"expected num_classes to be a whole number of at least 2, got {num_classes}: it counts classes"
        )
    if logits is not None and logits.shape[-1] != count:
        raise DataError(
            f"expected num_classes to be the {logits.shape[-1]} columns of {logits.name}, got {count}: leave it out"
        )
    return count


def known_labels(
    labels: Any, labeled: Any, is_labeled: NDArray[np.bool_], num_classes: int | None, strategy: Strategy
) -> Tensor | None:
    """Return the labels of the labeled rows, by ascending row.

    Args:
        labels: (M,) whole numbers, one for each labeled row: in the order of row numbers, or of the rows of a mask.
        labeled: the mask, or the row numbers.
        is_labeled: (N,) the checked mask.
        num_classes: C, or None if unknown.
        strategy: the strategy that selects.

    Returns:
        (M,) int64; None if the strategy does not need them.

    Raises:
        DataError: the strategy needs labels and there are none, or they have another size, type or range.
    """
    count = int(is_labeled.sum())
    if not strategy.needs_labels or not count:
        return None
    if labels is None:
        raise DataError(
            f"expected labels of the {count:,} labeled rows for {strategy.name}, got none: pass labels=y[labeled]"
        )
    array = as_array(labels)
    values = array.cpu().numpy() if isinstance(array, Tensor) else array
    if values.shape != (count,) or values.dtype.kind not in "iu":
        raise DataError(
            f"expected labels to be {count:,} whole numbers, one for each labeled row, got {values.dtype} "
            f"{values.shape}: np.unique(y, return_inverse=True) numbers names"
        )
    if values.min() < 0 or (num_classes is not None and values.max() >= num_classes):
        allowed = "of at least 0" if num_classes is None else f"from 0 to {num_classes - 1}"
        raise DataError(
            f"expected labels {allowed}, got {values.min()} to {values.max()}: number the classes in the order of the "
            "logits' columns"
        )
    numbers = as_array(labeled)
    numbers = numbers.cpu().numpy() if isinstance(numbers, Tensor) else numbers
    order = slice(None) if numbers.dtype.kind == "b" else np.argsort(numbers)
    return torch.from_numpy(values[order].astype(np.int64))
