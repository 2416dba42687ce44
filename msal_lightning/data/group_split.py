"""Parts of a dataset that have whole groups of images."""

from collections.abc import Collection, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from msal_lightning.data.validation import validation_order
from msal_lightning.errors import DataError


def hold_out_groups(
    labels: NDArray[np.int64], groups: NDArray[np.int64], fraction: float, seed: int
) -> NDArray[np.bool_]:
    """Draw groups with about a share of each class.

    Groups come in random order, and each is drawn if the numbers of images of each class get nearer to the wanted ones.
    scikit-learn's StratifiedGroupKFold balances as well; but the test images of a run must be the same for years,
    whatever version is installed.

    Args:
        labels: (N,) numbers of classes; all 0 where they are unknown.
        groups: (N,) numbers of groups.
        fraction: share of images to draw.
        seed: decides the draw.

    Returns:
        (N,) bool, the images of the drawn groups. Each class keeps an image that is not drawn.

    Raises:
        DataError: no group can be drawn, because each has all images of a class.
    """
    pairs, counts = np.unique(np.stack([groups, labels]), axis=1, return_counts=True)
    starts = np.searchsorted(pairs[0], np.arange(int(groups.max()) + 2))
    total = np.bincount(labels).astype(np.float64)
    wanted, drawn = fraction * total, np.zeros(len(total))
    is_drawn = np.zeros(len(starts) - 1, dtype=np.bool_)
    for group in torch.randperm(len(is_drawn), generator=torch.Generator().manual_seed(seed)).tolist():
        part = slice(starts[group], starts[group + 1])
        kind, count = pairs[1, part], counts[part]
        before = (drawn[kind] - wanted[kind]) / wanted[kind]
        after = before + count / wanted[kind]
        if (drawn[kind] + count < total[kind]).all() and (after**2).sum() < (before**2).sum():
            drawn[kind] += count
            is_drawn[group] = True
    if not is_drawn.any():
        raise DataError(
            "expected groups that can be held out to test on, got none: each group of data.group has all images of a "
            "class, or many more than data.test_fraction; name smaller groups, or give a data.test_root"
        )
    return is_drawn[groups]


def groups_to_test(groups: Tensor, num_first: int, fraction: float, seed: int) -> Tensor:
    """Draw groups whose images only test, for data without a test set.

    Args:
        groups: (N,) numbers of groups, in the order of their first images.
        num_first: number of images that the run began with; a group that came later is never drawn.
        fraction: share of the first images to draw.
        seed: decides the draw.

    Returns:
        (N,) bool, all images of the drawn groups.
    """
    first = groups[:num_first].numpy()
    drawn = hold_out_groups(np.zeros_like(first), first, fraction, seed)
    return torch.isin(groups, groups[:num_first][torch.from_numpy(drawn)])


def added_to_test(names: Sequence[str], num_first: int, tested: Collection[str]) -> Tensor:
    """Find the images that belong to groups of the test set, and to none that was trained on from the start.

    Args:
        names: N names of groups, those of the images that the run began with first.
        num_first: number of images that the run began with.
        tested: names of the groups of the test set.

    Returns:
        (N,) bool; they are not trained on.
    """
    tests = {*tested} - {*names[:num_first]}
    return torch.tensor([name in tests for name in names])


def is_validation_group(
    fraction: float, seed: int, index: Tensor, labeled_at: Tensor, label: Tensor, group: Tensor
) -> Tensor:
    """Draw the validation part of a labeled set as whole groups, the same groups in all later rounds.

    Images stand in the order of :func:`~msal_lightning.data.validation.is_validation`. A group that is new in a round
    goes to the part that lacks images most; later images follow their group.

    Args:
        fraction: share to draw.
        seed: the run's seed.
        index: (n,) int64 of the labeled set, dataset-absolute.
        labeled_at: (n,) the round of each.
        label: (n,) the class of each.
        group: (n,) the group of each.

    Returns:
        (n,) bool.

    Raises:
        DataError: all images belong to one group.
    """
    order = validation_order(seed, index, labeled_at, label)
    rounds, groups = labeled_at.numpy()[order], group.numpy()[order]
    side: dict[int, bool] = {}
    seen = drawn = 0
    for number in np.unique(rounds):
        there, first, count = np.unique(groups[rounds == number], return_index=True, return_counts=True)
        known = np.isin(there, [*side])
        seen += int(count[known].sum())
        drawn += sum(int(n) for one, n in zip(there, count, strict=True) if side.get(int(one)))
        for place in np.argsort(first):
            one, size = int(there[place]), int(count[place])
            if one in side:
                continue
            seen += size
            none_yet = len(side) > 0 and not any(side.values())
            side[one] = none_yet or drawn + size / 2 <= fraction * seen
            if len(side) == 1:
                side[one] = False  # something must be left to train on
            drawn += size * side[one]
    if not any(side.values()):
        raise DataError(
            f"expected labels of at least two groups for data.validation_fraction {fraction}, got {len(index)} of one "
            "group: label images of others first, or set data.validation_fraction to 0"
        )
    drawn_rows = torch.zeros(len(index), dtype=torch.bool)
    drawn_rows[torch.from_numpy(order)] = torch.tensor([side[int(one)] for one in groups])
    return drawn_rows
