"""Where the curves go: CSV files in any case, and Weights & Biases or any logger of Lightning besides."""

from msal_lightning.tracking.base import Epoch, Tracker
from msal_lightning.tracking.lightning_logger import LightningTracker
from msal_lightning.tracking.tracking import Tracking
from msal_lightning.tracking.wandb_tracker import WandbTracker

__all__ = ["Epoch", "LightningTracker", "Tracker", "Tracking", "WandbTracker"]
