"""From the arguments of :func:`~msal_lightning.arrays.select.select` to the outputs that a strategy reads."""

from collections.abc import Mapping
from typing import Any

from msal_lightning.arrays.rows import (
    ArrayRows,
    Logits,
    PassLogits,
    PassProbabilities,
    Probabilities,
    PrototypeLogits,
    as_array,
)
from msal_lightning.errors import DataError
from msal_lightning.query.callback import check_needs
from msal_lightning.strategies.base import Strategy

_WHAT = {
    "embeddings": "features, (N, D),",
    "logits": "logits or probabilities, (N, C),",
    "mc_logits": "mc_logits or probabilities of several passes with dropout, (T, N, C),",
}


def given_outputs(
    features: Any, logits: Any, mc_logits: Any, probabilities: Any, prototypes: bool
) -> dict[str, ArrayRows]:
    """Return the given arrays by the name of the output that strategies read.

    Args:
        features: (N, D), or None; likewise the others.
        logits: (N, C).
        mc_logits: (T, N, C).
        probabilities: (N, C) or (T, N, C).
        prototypes: whether the logits must be those of a prototype head.

    Raises:
        DataError: an array has a wrong shape or type, or stands beside probabilities of the same shape.
    """
    found: dict[str, ArrayRows] = {}
    if features is not None:
        found["embeddings"] = features if isinstance(features, ArrayRows) else ArrayRows("features", features)
    if logits is not None:
        found["logits"] = (PrototypeLogits if prototypes else Logits)("logits", logits)
    if mc_logits is not None:
        found["mc_logits"] = PassLogits("mc_logits", mc_logits)
    if probabilities is None:
        return found
    is_passes = as_array(probabilities).ndim == 3
    name = "mc_logits" if is_passes else "logits"
    if name in found:
        raise DataError(f"expected {name} or probabilities of the same shape, got both: leave one out")
    found[name] = (PassProbabilities if is_passes else Probabilities)("probabilities", probabilities)
    return found


def needed_outputs(strategy: Strategy, given: Mapping[str, ArrayRows]) -> dict[str, ArrayRows]:
    """Return the arrays that a strategy reads.

    Args:
        strategy: any strategy.
        given: arrays by the name of their output.

    Raises:
        ConfigError: the strategy names outputs that do not exist.
        DataError: an array is missing.
    """
    check_needs(strategy)
    needs_logits_of_prototypes = strategy.needs_prototypes and "logits" in strategy.needs
    usable = given
    if needs_logits_of_prototypes:  # probabilities do not say where the prototypes are
        usable = {name: rows for name, rows in given.items() if not isinstance(rows, Probabilities)}
    for name in sorted(strategy.needs - usable.keys()):
        what = "logits of a prototype head, (N, C)," if name == "logits" and needs_logits_of_prototypes else _WHAT[name]
        passes = ", mc_samples=10" if name == "mc_logits" else ""
        got = ", ".join(rows.name for rows in given.values()) or "no array"
        raise DataError(
            f"expected {what} for {strategy.name}, got {got}: pass them, for example "
            f"**head.outputs(X{passes}) of a fitted MSALHeadClassifier head"
        )
    return {name: given[name] for name in sorted(strategy.needs)}
