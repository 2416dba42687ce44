"""Maximally Separated Active Learning on PyTorch Lightning.

Each name below is imported on first use, so ``import msal_lightning`` alone takes no time.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from msal_lightning.arrays.head_classifier import MSALHeadClassifier
    from msal_lightning.arrays.select import select
    from msal_lightning.data.base import ActiveDataModule
    from msal_lightning.inference.load import load
    from msal_lightning.loop.loop import ActiveLoop
    from msal_lightning.models.backbones import ResNet18, SmallCNN
    from msal_lightning.models.classifier import MSALClassifier
    from msal_lightning.models.metrics import AUBC
    from msal_lightning.models.prototypes import LinearHead, PrototypeHead, cosine_to_prototypes, simplex_prototypes
    from msal_lightning.query.callback import Query
    from msal_lightning.query.shortlist import select_indices
    from msal_lightning.runs.directory import RunDirectory
    from msal_lightning.runs.options import LoopOptions
    from msal_lightning.strategies import ScoreStrategy, Strategy
    from msal_lightning.strategies.outputs import PoolOutputs

_HOME = {
    "ActiveDataModule": "data.base",
    "ActiveLoop": "loop.loop",
    "AUBC": "models.metrics",
    "LinearHead": "models.prototypes",
    "LoopOptions": "runs.options",
    "MSALClassifier": "models.classifier",
    "MSALHeadClassifier": "arrays.head_classifier",
    "PoolOutputs": "strategies.outputs",
    "PrototypeHead": "models.prototypes",
    "Query": "query.callback",
    "ResNet18": "models.backbones",
    "RunDirectory": "runs.directory",
    "ScoreStrategy": "strategies.base",
    "SmallCNN": "models.backbones",
    "Strategy": "strategies.base",
    "cosine_to_prototypes": "models.prototypes",
    "load": "inference.load",
    "select": "arrays.select",
    "select_indices": "query.shortlist",
    "simplex_prototypes": "models.prototypes",
}

__all__ = [
    "AUBC",
    "ActiveDataModule",
    "ActiveLoop",
    "LinearHead",
    "LoopOptions",
    "MSALClassifier",
    "MSALHeadClassifier",
    "PoolOutputs",
    "PrototypeHead",
    "Query",
    "ResNet18",
    "RunDirectory",
    "ScoreStrategy",
    "SmallCNN",
    "Strategy",
    "cosine_to_prototypes",
    "load",
    "select",
    "select_indices",
    "simplex_prototypes",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'msal_lightning' has no attribute '{name}'")
    return getattr(import_module(f"msal_lightning.{_HOME[name]}"), name)
