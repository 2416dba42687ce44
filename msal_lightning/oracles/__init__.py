"""Who labels the queried images, one small class each: the key ``oracle`` of a configuration.

Imported when they are first used, so that commands without a loop start at once.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from msal_lightning.oracles.base import Answer, Item, NotYet, Oracle, Question
    from msal_lightning.oracles.csv_files.oracle import Files
    from msal_lightning.oracles.label_studio.oracle import LabelStudio
    from msal_lightning.oracles.simulated import Simulated

_HOME = {
    "Answer": "base",
    "Files": "csv_files.oracle",
    "Item": "base",
    "LabelStudio": "label_studio.oracle",
    "NotYet": "base",
    "Oracle": "base",
    "Question": "base",
    "Simulated": "simulated",
}

__all__ = ["Answer", "Files", "Item", "LabelStudio", "NotYet", "Oracle", "Question", "Simulated"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'msal_lightning.oracles' has no attribute '{name}'")
    return getattr(import_module(f"msal_lightning.oracles.{_HOME[name]}"), name)
