"""Query strategies, one small class an idea; ``python -m msal_lightning strategies`` lists them."""

from msal_lightning.strategies.base import ScoreStrategy, Strategy
from msal_lightning.strategies.entropy import Entropy
from msal_lightning.strategies.least_confidence import LeastConfidence
from msal_lightning.strategies.margin import Margin
from msal_lightning.strategies.msal import MSAL
from msal_lightning.strategies.msald import MSALD
from msal_lightning.strategies.random import Random

__all__ = ["MSAL", "MSALD", "Entropy", "LeastConfidence", "Margin", "Random", "ScoreStrategy", "Strategy"]
