"""The name of a method in the paper's tables."""

from collections.abc import Mapping
from typing import Any

_PAPER = {"LeastConfidence": "LeastConf", "VariationRatio": "VarRatio", "KMeansFaiss": "KMeans (GPU)"}
_PLAIN = ("LeastConfidence", "Margin", "Entropy", "BALD", "MeanSTD", "VariationRatio")
_AVERAGED = ("LeastConfidence", "Margin", "Entropy")  # take a D where mc_samples > 0
_INSIDE = {
    "MSALD": "MSAL",
    "CEAL": "Entropy",
    "DBAL": "Margin",
    "PowerAcquisition": "BALD",
    "SoftmaxAcquisition": "BALD",
}


def method_name(config: Mapping[str, Any]) -> str:
    """The row of the paper's Tables 2 to 5 that a configuration is.

    Table 3 is head × strategy: an uncertainty X on the linear head is ``X``, on the prototype head ``X(MSAL)``, inside
    MSALD ``X(MSAL-D)``. Other strategies that need no prototypes say so where they stand on them, since the paper's row
    of that name has a linear head: ``KMeans, prototype head``. ``loop.initial_size: all`` is ``Full``. What the paper
    has not goes by its class.

    Args:
        config: of a run, flattened: ``query.class_path``, ``model.head``, ...

    Returns:
        A name without the options that it does not need; two configurations may share it.
    """
    on_prototypes = config.get("model.head") == "prototype"
    if config.get("loop.initial_size") == "all":
        return "Full, prototype head" if on_prototypes else "Full"
    name = _name(config, "query")
    if not on_prototypes or _needs_prototypes(config, "query"):
        return name
    return f"{name}(MSAL)" if _class(config, "query") in _PLAIN else f"{name}, prototype head"


def _name(config: Mapping[str, Any], key: str) -> str:
    query = _class(config, key)
    inside_key = f"{key}.init_args.uncertainty"
    inside = _name(config, inside_key) if _class(config, inside_key) else _INSIDE.get(query, "")
    name = _PAPER.get(query, query)
    if query in _AVERAGED and config.get(f"{key}.init_args.mc_samples"):
        name += "D"
    if query == "MSALD":
        return "MSAL-D" if inside == "MSAL" else f"{inside}(MSAL-D)"
    if query in ("PowerAcquisition", "SoftmaxAcquisition"):
        return query.removesuffix("Acquisition") + inside
    if not inside or (query, inside) == ("DBAL", "Margin"):
        return name
    return f"{name}({inside})"


def _needs_prototypes(config: Mapping[str, Any], key: str) -> bool:
    query = _class(config, key)
    return query in ("MSAL", "MSALD") or (query != "" and _needs_prototypes(config, f"{key}.init_args.uncertainty"))


def _class(config: Mapping[str, Any], key: str) -> str:
    return last_word(config.get(f"{key}.class_path"))


def last_word(class_path: str | None) -> str:
    """``Entropy`` of ``msal_lightning.strategies.Entropy``; empty for none."""
    return (class_path or "").rpartition(".")[2]
