"""Features of the images, by which a strategy chooses the initial set before there is a model."""

from pathlib import Path

import torch
from torch import Tensor

from msal_lightning.data.base import ActiveDataModule
from msal_lightning.data.features.feature_files import FeatureRows
from msal_lightning.data.features.feature_folder import list_files, open_files
from msal_lightning.data.features.feature_labels import read_labels
from msal_lightning.data.features.feature_statistics import find_statistics
from msal_lightning.errors import ConfigError
from msal_lightning.io.names import name_some
from msal_lightning.query.stored_embeddings import ScaledFeatures
from msal_lightning.strategies.rows import RowSource

_KEY = "loop.initial_features"


class FolderFeatures:
    """The features in a folder, standardized over the training images, by dataset index.

    Args:
        folder: features in the form of data Embeddings; ``labels.csv`` may name the image of each row.
        data: owns the images, after ``setup``.

    Raises:
        UserError: the folder cannot be read, or has no features of an image.
    """

    device = torch.device("cpu")

    def __init__(self, folder: str, data: ActiveDataModule) -> None:
        files = open_files(list_files(Path(folder), _KEY))
        self._features = FeatureRows(files)
        self._row = _row_of_each_image(Path(folder), self._features.shape[0], data)
        self.shape = (len(self._row), self._features.shape[1])
        self._mean, self._std = find_statistics(self._features, self._row)

    def at(self, index: Tensor) -> Tensor:
        """Read rows: (M,) int64 dataset indices to (M, D) float32."""
        return (self._features[self._row[index]].flatten(1).float() - self._mean) / self._std


def initial_features(folder: str | None, data: ActiveDataModule) -> RowSource:
    """Return the features by which the initial set is chosen.

    Args:
        folder: see :class:`FolderFeatures`; None takes the features that the data itself has.
        data: owns the images, after ``setup``.

    Raises:
        ConfigError: there are none.
    """
    if folder is not None:
        return FolderFeatures(folder, data)
    if not isinstance(data.images, FeatureRows):
        raise ConfigError(
            f"expected {_KEY} to be a folder of features, because loop.initial cannot choose among the images of "
            f"{data.name}, got none: run `embed` on the images, and set it to the --out of that command"
        )
    return ScaledFeatures(data, data.images)


def _row_of_each_image(folder: Path, num_rows: int, data: ActiveDataModule) -> Tensor:
    """Find the row of each training image by its path, or by its number where images have no files: (N,) int64."""
    count = data.images.shape[0]
    names = data.paths(torch.arange(count))
    known = read_labels(folder, num_rows, None).paths
    if names is None or known is None:
        if num_rows not in (count, count + len(data.test.label)):
            raise ConfigError(
                f"expected {_KEY} '{folder}' to have a row for each of the {count:,} training images, and optionally "
                f"for the test images after them, got {num_rows:,}: run `embed` on the same data"
            )
        return torch.arange(count)
    row_of = {name: row for row, name in enumerate(known)}
    if missing := [name for name in names if name not in row_of]:
        raise ConfigError(
            f"expected features of all {count:,} training images in {_KEY} '{folder}', got none of "
            f"{name_some(missing)}: run `embed` on the same folder of images"
        )
    return torch.tensor([row_of[name] for name in names])
