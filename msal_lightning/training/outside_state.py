"""Callbacks whose state is not in a checkpoint."""

import io
import pickle
from typing import Any

from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import (
    BaseFinetuning,
    BasePredictionWriter,
    DeviceStatsMonitor,
    GradientAccumulationScheduler,
    LearningRateMonitor,
    ModelPruning,
    ModelSummary,
    StochasticWeightAveraging,
    ThroughputMonitor,
)

# Their state_dict leaves out what a resumed fit needs: which parameters are frozen (Lightning issue 21901), the
# Trainer's schedule and number of epochs that they change, how parameters are wrapped
_INCOMPLETE = (BaseFinetuning, StochasticWeightAveraging, ModelPruning)
# These only observe, so their state does not matter
_WATCHING = (
    BasePredictionWriter,
    DeviceStatsMonitor,
    GradientAccumulationScheduler,
    LearningRateMonitor,
    ModelSummary,
    ThroughputMonitor,
)
_LIGHTNING_ADDS = ("log", "log_dict")  # the model's methods, when a fit begins


class OutsideState:
    """Finds callbacks that would make a resumed fit differ from an uninterrupted one.

    A fit with such a callback is not saved: after a kill it starts again, which gives the same result.

    Args:
        trainer: a Trainer before its fit.
    """

    def __init__(self, trainer: Trainer) -> None:
        self._trainer: Any = trainer  # Any, because its type hides the callbacks
        self._before = {id(callback): _attributes(callback) for callback in self._theirs}

    @property
    def _theirs(self) -> list[Callback]:
        return [callback for callback in self._trainer.callbacks if not _is_ours(callback)]

    def of(self) -> str | None:
        """Return the first callback with state that is not in its state_dict; None if there is none."""
        return next((type(callback).__name__ for callback in self._theirs if self._is_outside(callback)), None)

    def _is_outside(self, callback: Callback) -> bool:
        if isinstance(callback, _INCOMPLETE):
            return True
        if isinstance(callback, _WATCHING) or type(callback).state_dict is not Callback.state_dict:
            return False
        before = self._before.get(id(callback))  # missing for a callback from the model
        return before is None or _attributes(callback) != before


def _is_ours(callback: Callback) -> bool:
    return type(callback).__module__.startswith("msal_lightning.")


def _attributes(callback: Callback) -> bytes | None:
    content = io.BytesIO()
    pickler = pickle.Pickler(content)
    pickler.fast = True  # without back references, because these depend on other holders of a value
    try:
        pickler.dump({name: value for name, value in vars(callback).items() if name not in _LIGHTNING_ADDS})
        return content.getvalue()
    except Exception:  # foreign classes may raise anything; their state is then unknown
        return None
