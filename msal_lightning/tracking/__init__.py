"""Destinations of the curves: always CSV files, and also Weights & Biases or any Lightning logger."""

from msal_lightning.tracking.base import Epoch, Tracker
from msal_lightning.tracking.lightning_logger import FILES as _LOGGER_FILES
from msal_lightning.tracking.lightning_logger import LightningTracker
from msal_lightning.tracking.tracking import Tracking
from msal_lightning.tracking.wandb_tracker import FILES as _WANDB_FILES
from msal_lightning.tracking.wandb_tracker import WandbTracker
from msal_lightning.training.fit_log import FILES as _FIT_FILES

FILES = (*_FIT_FILES, *_LOGGER_FILES, *_WANDB_FILES)
"""Files that tracking writes into a run directory, see :mod:`~msal_lightning.io.own_files`."""

__all__ = ["FILES", "Epoch", "LightningTracker", "Tracker", "Tracking", "WandbTracker"]
