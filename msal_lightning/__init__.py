"""Maximally Separated Active Learning on PyTorch Lightning.

The names below are imported when they are first used: ``import msal_lightning`` alone takes no time.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from msal_lightning.data import ActiveDataModule
    from msal_lightning.loop.loop import ActiveLoop
    from msal_lightning.loop.options import LoopOptions
    from msal_lightning.metrics import AUBC
    from msal_lightning.module import MSALClassifier
    from msal_lightning.pool import PoolOutputs
    from msal_lightning.prototypes import LinearHead, PrototypeHead, cosine_to_prototypes, simplex_prototypes
    from msal_lightning.query.callback import Query
    from msal_lightning.query.shortlist import select_indices
    from msal_lightning.runs import RunDirectory
    from msal_lightning.strategies import ScoreStrategy, Strategy

_HOME = {
    "ActiveDataModule": "data",
    "ActiveLoop": "loop.loop",
    "AUBC": "metrics",
    "LinearHead": "prototypes",
    "MSALClassifier": "module",
    "PoolOutputs": "pool",
    "PrototypeHead": "prototypes",
    "LoopOptions": "loop.options",
    "Query": "query.callback",
    "RunDirectory": "runs",
    "ScoreStrategy": "strategies",
    "Strategy": "strategies",
    "cosine_to_prototypes": "prototypes",
    "select_indices": "query.shortlist",
    "simplex_prototypes": "prototypes",
}

__all__ = [
    "AUBC",
    "ActiveDataModule",
    "ActiveLoop",
    "LinearHead",
    "LoopOptions",
    "MSALClassifier",
    "PoolOutputs",
    "PrototypeHead",
    "Query",
    "RunDirectory",
    "ScoreStrategy",
    "Strategy",
    "cosine_to_prototypes",
    "select_indices",
    "simplex_prototypes",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'msal_lightning' has no attribute '{name}'")
    return getattr(import_module(f"msal_lightning.{_HOME[name]}"), name)
