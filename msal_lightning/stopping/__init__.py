"""When to stop: the forecast of the curve, and criteria that end a run before its budget."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from msal_lightning.stopping.accuracy import AccuracyReached, CostOptimum, Plateau
    from msal_lightning.stopping.base import Look, StoppingCriterion, StopSet
    from msal_lightning.stopping.predictions import ClassificationChange, KappaAgreement, OverallUncertainty

_WHERE = {
    "AccuracyReached": "accuracy",
    "ClassificationChange": "predictions",
    "CostOptimum": "accuracy",
    "KappaAgreement": "predictions",
    "Look": "base",
    "OverallUncertainty": "predictions",
    "Plateau": "accuracy",
    "StopSet": "base",
    "StoppingCriterion": "base",
}

__all__ = [
    "AccuracyReached",
    "ClassificationChange",
    "CostOptimum",
    "KappaAgreement",
    "Look",
    "OverallUncertainty",
    "Plateau",
    "StopSet",
    "StoppingCriterion",
]


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(import_module(f"msal_lightning.stopping.{_WHERE[name]}"), name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
