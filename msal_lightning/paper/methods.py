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
    "UHerding": "Margin",
    "SEALS": "Entropy",
    "PowerAcquisition": "BALD",
    "SoftmaxAcquisition": "BALD",
}


def method_name(config: Mapping[str, Any]) -> str:
    """Return the row of the paper's Tables 2 to 5 that a configuration belongs to.

    Table 3 is head × strategy: an uncertainty X on the linear head is ``X``, on the prototype head ``X(MSAL)``, inside
    MSALD ``X(MSAL-D)``. The paper's rows of other strategies without prototypes have a linear head, so their names on
    the prototype head say so: ``KMeans, prototype head``. ``loop.initial_size: all`` is ``Full``. A strategy that the
    paper lacks goes by its class name.

    Args:
        config: flattened configuration of a run: ``query.class_path``, ``model.head``, ...

    Returns:
        A name without further options; several configurations may share it.
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
    inside_key = _inside_key(config, key)
    inside = _name(config, inside_key) if _class(config, inside_key) else _INSIDE.get(query, "")
    name = _PAPER.get(query, query)
    if query in _AVERAGED and config.get(f"{key}.init_args.mc_samples"):
        name += "D"
    if query == "MSALD":
        name = "MSAL-D, coverage" if _is_coverage(config, key) else "MSAL-D"
        return name if inside == "MSAL" else f"{inside}({name})"
    if query in ("PowerAcquisition", "SoftmaxAcquisition"):
        return query.removesuffix("Acquisition") + inside
    if not inside or (query in ("DBAL", "UHerding") and inside == "Margin"):
        return name
    return f"{name}({inside})"


def _needs_prototypes(config: Mapping[str, Any], key: str) -> bool:
    query, inside_key = _class(config, key), _inside_key(config, key)
    if query == "MSAL" or (query == "MSALD" and not _is_coverage(config, key)):
        return True
    return _needs_prototypes(config, inside_key) if _class(config, inside_key) else _INSIDE.get(query) == "MSAL"


def _inside_key(config: Mapping[str, Any], key: str) -> str:
    return f"{key}.init_args.{'strategy' if _class(config, key) == 'SEALS' else 'uncertainty'}"


def _is_coverage(config: Mapping[str, Any], key: str) -> bool:
    return config.get(f"{key}.init_args.diversity") == "coverage"


def _class(config: Mapping[str, Any], key: str) -> str:
    return last_word(config.get(f"{key}.class_path"))


def last_word(class_path: str | None) -> str:
    """Return ``Entropy`` for ``msal_lightning.strategies.Entropy``, and an empty text for None."""
    return (class_path or "").rpartition(".")[2]
