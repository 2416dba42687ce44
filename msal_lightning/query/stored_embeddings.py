"""Embeddings that are the features of the dataset: a query reads them from the files and keeps no copy."""

from collections.abc import Sequence

import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from msal_lightning.data.base import ActiveDataModule
from msal_lightning.data.batches.loading import Batch
from msal_lightning.data.features.feature_files import FeatureRows
from msal_lightning.data.features.feature_statistics import refuse_rows
from msal_lightning.models.classifier import MSALClassifier
from msal_lightning.strategies.base import Strategy
from msal_lightning.strategies.rows import RowSource


class ScaledFeatures:
    """Standardized features, as the model sees them, by dataset index.

    Args:
        data: scales the features.
        features: the images of the data.
    """

    device = torch.device("cpu")

    def __init__(self, data: ActiveDataModule, features: FeatureRows) -> None:
        self._data, self._features = data, features

    @property
    def shape(self) -> Sequence[int]:
        """(N, D)."""
        return self._features.shape[:2]

    def at(self, index: Tensor) -> Tensor:
        """Read rows: (M,) int64 to (M, D) float32.

        Raises:
            DataError: a row has NaN or infinity.
        """
        rows = self._data.scale(Batch(index, self._features[index], index)).image.flatten(1)
        if rows.numel() and not torch.stack(rows.aminmax()).isfinite().all():
            refuse_rows(self._features.numbers(index[~rows.isfinite().all(dim=1)]))
        return rows


def stored_embeddings(strategy: Strategy, model: LightningModule, data: ActiveDataModule) -> RowSource | None:
    """Return the embeddings of all rows, if a strategy can read them from the files of the dataset.

    That is so if the backbone changes nothing (an MLP without hidden layers), in float32 on a CPU, and the files are
    mapped: rows of other files cannot be read in any order without reading much more. A GPU has the embeddings itself.

    Args:
        strategy: selects.
        model: of any kind.
        data: owns the pool.
    """
    images = data.images
    if (
        strategy.embeddings_by_rows
        and type(model) is MSALClassifier  # a subclass may compute other embeddings
        and getattr(model.backbone, "is_identity", False)
        and model.device.type == "cpu"
        and model.dtype == torch.float32
        and isinstance(images, FeatureRows)
        and images.are_mapped
    ):
        return ScaledFeatures(data, images)
    return None
