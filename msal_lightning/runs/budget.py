"""The number of labels of each round."""

from collections.abc import Mapping
from typing import Any, Literal

from msal_lightning.errors import ConfigError


def label_counts(num_images: int, initial_size: int | Literal["all"], query_size: int, query_budget: int) -> list[int]:
    """Return the number of labels of each round: the initial set, then b more per round, up to initial + Q.

    Args:
        num_images: number of training images: initial set and pool.
        initial_size: number of labels in the initial set, or all.
        query_size: b.
        query_budget: Q; if b does not divide it, the last query is smaller.

    Returns:
        One number per round, ascending.

    Raises:
        ConfigError: a size is out of range.
    """
    if initial_size == "all":
        return [num_images]
    if not 1 <= initial_size <= num_images:
        raise ConfigError(
            f"expected loop.initial_size to be 1 to {num_images} (all images) or all, got {initial_size}: "
            "the first model needs training images"
        )
    if query_size < 1:
        raise ConfigError(
            f"expected loop.query_size to be at least 1, got {query_size}: each round queries that many labels"
        )
    left = num_images - initial_size
    if not 0 <= query_budget <= left:
        raise ConfigError(
            f"expected loop.query_budget to be 0 to {left} (the pool after the initial set), got {query_budget}: "
            "lower it or loop.initial_size"
        )
    end = initial_size + query_budget
    return [*range(initial_size, end, query_size), end]


def label_counts_of(config: Mapping[str, Any]) -> list[int] | None:
    """Return the number of labels of each round of a configuration.

    Args:
        config: flattened configuration.

    Returns:
        One number per round; None for the paper's Full and for a replay, because the data or another run decides.
    """
    initial, size, budget = (config.get(f"loop.{key}") for key in ("initial_size", "query_size", "query_budget"))
    if not (isinstance(initial, int) and isinstance(size, int) and isinstance(budget, int)):
        return None
    if config.get("loop.replay"):
        return None
    return label_counts(initial + budget, initial, size, budget)


def num_rounds(config: Mapping[str, Any]) -> int:
    """Return the number of rounds of a flattened configuration; 1 if :func:`label_counts_of` returns None."""
    return len(label_counts_of(config) or [0])


def is_full(config: Mapping[str, Any]) -> bool:
    """Return whether a flattened configuration labels all images at once: the paper's Full."""
    return config.get("loop.initial_size") == "all"
