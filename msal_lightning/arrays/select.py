"""Selection from arrays, by the code that selects in a loop."""

import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from msal_lightning.arrays.given import given_outputs, needed_outputs
from msal_lightning.arrays.known_labels import known_labels, known_num_classes
from msal_lightning.arrays.named_strategy import as_strategy
from msal_lightning.arrays.rows import ArrayRows, as_array
from msal_lightning.errors import DataError
from msal_lightning.query.shortlist import StreamingShortlist
from msal_lightning.seeding import stream
from msal_lightning.strategies.base import Strategy
from msal_lightning.strategies.outputs import PoolOutputs

_BLOCK_BYTES = 2**24  # rows are read 16 MB at a time


def select(
    strategy: str | Strategy | type[Strategy],
    *,
    n: int,
    features: Any = None,
    logits: Any = None,
    mc_logits: Any = None,
    probabilities: Any = None,
    labeled: Any = None,
    labels: Any = None,
    num_classes: int | None = None,
    head: Callable[[Tensor], Tensor] | None = None,
    groups: Any = None,
    seed: int = 0,
    round: int = 0,
) -> Any:
    """Select rows to label from arrays: numpy arrays, also memory-mapped ones, or tensors on any device.

    The selection is that of a :class:`~msal_lightning.Query` in a loop with the same outputs, seed and round. Rows are
    read in blocks; only the shortlist of the strategy stays in memory. Pseudo-labels (CEAL) are not returned.

    Args:
        strategy: a name such as ``"MSALD"``, an object such as ``MSALD(beta=10)``, or a class.
        n: number of rows to select, at most the number of rows that are not labeled.
        features: (N, D), embeddings of all rows, labeled ones too. They are used as they are: scale them before.
        logits: (N, C). MSAL and MSALD need those of a prototype head.
        mc_logits: (T, N, C), logits of T passes with dropout, for BALD and other strategies that compare passes. All
            rows of a pass must share one dropout mask for BatchBALD.
        probabilities: (N, C) instead of logits, or (T, N, C) instead of mc_logits.
        labeled: (N,) bool, or the numbers of the labeled rows; by default no row is labeled.
        labels: (M,) whole numbers from 0, classes of the labeled rows, in the order of row numbers or mask.
            Only strategies with ``needs_labels`` read them.
        num_classes: C, for a strategy that needs it but no logits, such as ProbCover; by default that of the logits.
        head: for ALFAMix, the layer of torch from features (M, D) to logits (M, C) on the CPU, for example
            ``classifier.network_.head`` of an MSALHeadClassifier.
        groups: (N,) whole numbers, the group of each row (a patient, a site), for PerGroup.
        seed: seed of random draws.
        round: number of the query, for the same draws.

    Returns:
        (n,) int64 row numbers of the arrays, best first: a tensor on their device for tensors, otherwise a numpy array.

    Raises:
        UserError: the strategy is unknown or needs other arrays, or an array has a wrong size, NaN or infinity.
    """
    chosen = as_strategy(strategy)
    given = given_outputs(features, logits, mc_logits, probabilities, chosen.needs_prototypes)
    needed = needed_outputs(chosen, given)
    is_labeled = _labeled_mask(labeled, _num_rows(given, labeled))
    pool, known = (torch.from_numpy(np.flatnonzero(rows)) for rows in (~is_labeled, is_labeled))
    size = _checked_size(n, len(pool))
    count = known_num_classes(num_classes, given)
    known_classes = known_labels(labels, labeled, is_labeled, count, chosen)
    reference = _outputs_at(known, needed, chosen, count) if chosen.needs_labeled and len(known) else None
    if reference is not None:
        reference = replace(reference, labels=known_classes)
    embeddings = needed.pop("embeddings") if chosen.embeddings_by_rows else None
    layer = _known_head(head, chosen)
    row_groups = _known_groups(groups, len(is_labeled), chosen)
    running = StreamingShortlist(chosen, size, stream(seed, "query", round), round, embeddings, layer, row_groups)
    for rows in _blocks(pool, needed):
        running.add(_outputs_at(rows, needed, chosen, count))
    found = running.finish(reference).index
    like = next((rows.array for rows in given.values()), labeled)
    return found.to(like.device) if isinstance(like, Tensor) else found.numpy()


def _known_head(head: Callable[[Tensor], Tensor] | None, strategy: Strategy) -> Callable[[Tensor], Tensor] | None:
    if strategy.needs_head and not callable(head):
        raise DataError(
            f"expected head, the layer from features to logits, for {strategy.name}, got {head!r}: pass "
            "head=classifier.network_.head of an MSALHeadClassifier, for example"
        )
    return head


def _known_groups(groups: Any, count: int, strategy: Strategy) -> Tensor | None:
    if not strategy.needs_groups:
        return None
    if groups is None:
        raise DataError(f"expected groups, a number for each row, for {strategy.name}, got none: pass groups=patients")
    array = as_array(groups)
    values = array.cpu() if isinstance(array, Tensor) else torch.from_numpy(np.asarray(array))
    if values.shape != (count,) or values.is_floating_point():
        raise DataError(
            f"expected groups to have one whole number for each of the {count:,} rows, got {values.dtype} "
            f"{tuple(values.shape)}: np.unique(names, return_inverse=True)[1] numbers names"
        )
    return values.long()


def _blocks(pool: Tensor, needed: Mapping[str, ArrayRows]) -> Iterator[Tensor]:
    """Yield the row numbers of the pool, as many at a time as fit into a block."""
    bytes_per_row = sum(rows.bytes_per_row for rows in needed.values())
    yield from torch.split(pool, max(1, _BLOCK_BYTES // bytes_per_row) if bytes_per_row else len(pool))


def _outputs_at(
    rows: Tensor, needed: Mapping[str, ArrayRows], strategy: Strategy, num_classes: int | None
) -> PoolOutputs:
    found = {name: values.at(rows) for name, values in needed.items()}
    outputs: dict[str, Any] = {name: x if name in strategy.on_device else x.cpu() for name, x in found.items()}
    return PoolOutputs(rows, **outputs, num_classes=num_classes)


def _num_rows(given: Mapping[str, ArrayRows], labeled: Any) -> int:
    """Return N, on which all arrays must agree."""
    sizes = {rows.name: len(rows) for rows in given.values()}
    if labeled is not None and (mask := as_array(labeled)).dtype in (np.bool_, torch.bool):
        sizes["labeled"] = mask.size if isinstance(mask, np.ndarray) else mask.numel()
    if not sizes:
        raise DataError("expected features, logits or a mask labeled, to know the rows of the pool, got none: pass one")
    if len({*sizes.values()}) > 1:
        listed = ", ".join(f"{name} {size:,}" for name, size in sizes.items())
        raise DataError(f"expected arrays of the same number of rows, got {listed}: each row is the same image in all")
    return next(iter(sizes.values()))


def _labeled_mask(labeled: Any, count: int) -> NDArray[np.bool_]:
    """Return which rows are labeled, from a mask or from row numbers."""
    if labeled is None:
        return np.zeros(count, dtype=np.bool_)
    array = as_array(labeled)
    values = array.cpu().numpy() if isinstance(array, Tensor) else array
    mask = np.zeros(count, dtype=np.bool_)
    if values.ndim != 1 or (len(values) and values.dtype.kind not in "biu"):
        raise DataError(
            f"expected labeled to be a mask of type bool or row numbers, one axis, got {values.dtype} {values.shape}: "
            "np.flatnonzero(mask) gives row numbers"
        )
    if values.dtype.kind == "b":
        return values
    if len(values) and not 0 <= values.min() <= values.max() < count:
        raise DataError(
            f"expected labeled to have row numbers from 0 to {count - 1:,}, got {values.min()} to {values.max()}: "
            "correct them"
        )
    mask[values.astype(np.int64)] = True
    if mask.sum() < len(values):
        raise DataError(
            f"expected each row number once in labeled, got {len(values) - mask.sum():,} repeated: a mask must be of "
            "type bool"
        )
    return mask


def _checked_size(n: Any, num_free: int) -> int:
    try:
        size = operator.index(n)
    except TypeError:
        size = 0
    if not 1 <= size <= num_free:
        raise DataError(f"expected n to be from 1 to {num_free:,}, the number of rows without a label, got {n}")
    return size
