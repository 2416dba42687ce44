"""The model of a run with all that a new image needs: decoding, scaling, names of the classes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from msal_lightning.data import ActiveDataModule
from msal_lightning.data.batches.read_only import read_only
from msal_lightning.data.images.decoding import Decoding
from msal_lightning.datasets import Embeddings, ImageFolder
from msal_lightning.errors import ConfigError, RunError
from msal_lightning.inference.network import ReadyNetwork
from msal_lightning.inference.rebuild import read_own_data, rebuild
from msal_lightning.io.wording import counted
from msal_lightning.models.classifier import MSALClassifier
from msal_lightning.runs.trained_model import Trained, read_trained


@dataclass(frozen=True)
class ReadyModel:
    """A model for new images.

    Attributes:
        trained: the run and its weights.
        data: the run's data; only its options are certain to be known.
        model: the model with the trained weights.
        network: the same as it is used, in float32, on the CPU.
        class_names: one name for each class.
        decoding: how image files are read; None for a run on features.
    """

    trained: Trained
    data: ActiveDataModule
    model: MSALClassifier
    network: ReadyNetwork
    class_names: tuple[str, ...]
    decoding: Decoding | None

    def describe(self) -> str:
        """Return a line for a person."""
        record = self.trained.run.records[self.trained.round]
        what = f"{self.network.num_channels:,} features"
        if self.decoding is not None:
            what = f"{self.decoding.size}×{self.decoding.size} pixels, {self.decoding.fit}"
        later = self.trained.run.amendments.regrouped(self.trained.round + 1)
        since = f"; it does not know that {' and '.join(later)}" if later else ""
        return (
            f"model of round {self.trained.round} of '{self.trained.run.folder}': {record.num_labeled:,} labels, "
            f"{len(self.class_names):,} classes, {what}{since}"
        )


def ready_model(run: Path, words: Sequence[str] = (), trusted: Sequence[str] = (), option: str = "RUN") -> ReadyModel:
    """Read the model of a run; no code in its files is run.

    Args:
        run: a run directory, which stands for its last model, or one of its checkpoints.
        words: options of the run's data, like ``--data.root=FOLDER``.
        trusted: classes of other packages that a stranger's configuration may name.
        option: option that names the run, for messages.

    Raises:
        UserError: the run has no model, is damaged, or its data cannot be read where they are needed.
    """
    trained = read_trained(run, option)
    if trained.round >= len(trained.run.records):
        raise RunError(
            f"expected '{trained.run.folder}' to have the record of round {trained.round}, which trained "
            f"'{trained.file.name}', found {counted(len(trained.run.records), 'record')}: resume the run with `fit`, "
            f"or set {option} to an earlier checkpoint"
        )
    rebuilt = rebuild(trained, words, trusted, option=option)
    data = rebuilt.data
    if trained.class_names is None or not isinstance(data, Embeddings | ImageFolder):
        with read_only(not rebuilt.may_write):
            read_own_data(data)
    _check_scale(data)
    network = ReadyNetwork(rebuilt.model, data.mean, data.std, torch.uint8 in data.dtypes)
    decoding = _decoding(data) if network.pixels else None
    return ReadyModel(trained, data, rebuilt.model, network, tuple(rebuilt.class_names), decoding)


def _check_scale(data: ActiveDataModule) -> None:
    if type(data).scale not in (ActiveDataModule.scale, Embeddings.scale):
        raise ConfigError(
            f"expected data {data.name} to scale its images by mean and std, got a scale() of its own, which "
            "new images would not go through: use model and data in your own code"
        )


def _decoding(data: ActiveDataModule) -> Decoding:
    """Return how the run reads image files; of a dataset without files, how a file becomes one of its images."""
    if data.decoding is not None:
        return data.decoding
    *_, height, width = data.images.shape
    if height != width:
        raise ConfigError(
            f"expected the images of {data.name} to be squares, as new images become, got {height}×{width}: use model "
            "and data in your own code"
        )
    channels = data.in_channels
    bands = None if channels in (1, 3) else tuple(range(1, channels + 1))
    return Decoding(width, channels, bands=bands, padding=tuple(round(255 * value) for value in data.mean))
