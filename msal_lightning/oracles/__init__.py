"""Oracles label the queried images: the key ``oracle`` of a configuration names one of these classes.

Each class is imported on first use, so commands without a loop start at once.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from msal_lightning.oracles.base import Annotation, AwaitingLabels, LabelingBatch, LabelingTask, Oracle
    from msal_lightning.oracles.csv_files.oracle import Files
    from msal_lightning.oracles.label_studio.oracle import LabelStudio
    from msal_lightning.oracles.simulated import Simulated
    from msal_lightning.oracles.told import Told

_HOME = {
    "Annotation": "base",
    "Files": "csv_files.oracle",
    "LabelingTask": "base",
    "LabelStudio": "label_studio.oracle",
    "AwaitingLabels": "base",
    "Oracle": "base",
    "LabelingBatch": "base",
    "Simulated": "simulated",
    "Told": "told",
}

# names of earlier versions, for users' own oracles
_FORMER = {"Answer": "Annotation", "Item": "LabelingTask", "NotYet": "AwaitingLabels", "Question": "LabelingBatch"}

__all__ = [
    "Annotation",
    "AwaitingLabels",
    "Files",
    "LabelStudio",
    "LabelingBatch",
    "LabelingTask",
    "Oracle",
    "Simulated",
    "Told",
]


def __getattr__(name: str) -> Any:
    name = _FORMER.get(name, name)
    if name not in _HOME:
        raise AttributeError(f"module 'msal_lightning.oracles' has no attribute '{name}'")
    return getattr(import_module(f"msal_lightning.oracles.{_HOME[name]}"), name)
