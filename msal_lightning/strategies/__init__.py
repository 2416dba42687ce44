"""Query strategies, one small class for each idea; ``python -m msal_lightning strategies`` lists them."""

from msal_lightning.strategies.alfamix import ALFAMix
from msal_lightning.strategies.badge import BADGE
from msal_lightning.strategies.bait import BAIT
from msal_lightning.strategies.bald import BALD
from msal_lightning.strategies.base import (
    MCUncertainty,
    PrefilterStrategy,
    ProbabilityUncertainty,
    ScoreStrategy,
    Strategy,
    Uncertainty,
)
from msal_lightning.strategies.batchbald import BatchBALD
from msal_lightning.strategies.ceal import CEAL
from msal_lightning.strategies.clustermargin import ClusterMargin
from msal_lightning.strategies.dbal import DBAL
from msal_lightning.strategies.direct import DIRECT
from msal_lightning.strategies.dropquery import DropQuery
from msal_lightning.strategies.entropy import Entropy
from msal_lightning.strategies.epig import EPIG
from msal_lightning.strategies.falcun import FALCUN
from msal_lightning.strategies.galaxy import GALAXY
from msal_lightning.strategies.kcenter import KCenter
from msal_lightning.strategies.kmeans import KMeans
from msal_lightning.strategies.kmeans_faiss import KMeansFaiss
from msal_lightning.strategies.least_confidence import LeastConfidence
from msal_lightning.strategies.margin import Margin
from msal_lightning.strategies.maxherding import MaxHerding
from msal_lightning.strategies.mean_std import MeanSTD
from msal_lightning.strategies.msal import MSAL
from msal_lightning.strategies.msald import MSALD
from msal_lightning.strategies.per_group import PerGroup
from msal_lightning.strategies.probcover import ProbCover
from msal_lightning.strategies.random import Random
from msal_lightning.strategies.seals import SEALS
from msal_lightning.strategies.stochastic import PowerAcquisition, SoftmaxAcquisition, StochasticAcquisition
from msal_lightning.strategies.tcm import TCM
from msal_lightning.strategies.typiclust import TypiClust
from msal_lightning.strategies.uherding import UHerding
from msal_lightning.strategies.variation_ratio import VariationRatio

__all__ = [
    "BADGE",
    "BAIT",
    "BALD",
    "CEAL",
    "DBAL",
    "DIRECT",
    "EPIG",
    "FALCUN",
    "GALAXY",
    "MSAL",
    "MSALD",
    "SEALS",
    "TCM",
    "ALFAMix",
    "BatchBALD",
    "ClusterMargin",
    "DropQuery",
    "Entropy",
    "KCenter",
    "KMeans",
    "KMeansFaiss",
    "LeastConfidence",
    "MCUncertainty",
    "Margin",
    "MaxHerding",
    "MeanSTD",
    "PerGroup",
    "PowerAcquisition",
    "PrefilterStrategy",
    "ProbCover",
    "ProbabilityUncertainty",
    "Random",
    "ScoreStrategy",
    "SoftmaxAcquisition",
    "StochasticAcquisition",
    "Strategy",
    "TypiClust",
    "UHerding",
    "Uncertainty",
    "VariationRatio",
]
