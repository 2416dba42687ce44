"""From a run directory to the model of its last round, with the data and the strategy that its configuration names."""

import io
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass

from jsonargparse import Namespace

from msal_lightning.config.parser import as_user_error, build_parser, instantiate, parse
from msal_lightning.config.trust import OF_THE_START, read_config
from msal_lightning.data import ActiveDataModule
from msal_lightning.data.batches.read_only import read_only
from msal_lightning.datasets import ImageFolder
from msal_lightning.errors import ConfigError
from msal_lightning.models.classifier import MSALClassifier
from msal_lightning.query.shortlist import check_classes
from msal_lightning.runs.image_order import read_as_recorded
from msal_lightning.runs.trained_model import Trained
from msal_lightning.strategies import Strategy
from msal_lightning.training.lightning_noise import quiet_lightning

_READ = ("seed", "loop", "data", "model")
_UNUSED = ("model.optimizer", "model.lr_scheduler", "model.backbone.init_args.weights")


@dataclass(frozen=True)
class Rebuilt:
    """Objects of a run.

    Attributes:
        trained: the run and its weights.
        config: the run's configuration with the options of the command.
        data: the run's data, not read yet.
        model: the model with the trained weights.
        query: the strategy; Random where the caller does not ask for one.
        may_write: whether datasets may write beside the data, because the configuration or the folder is this user's.
    """

    trained: Trained
    config: Namespace
    data: ActiveDataModule
    model: MSALClassifier
    query: Strategy
    may_write: bool

    @property
    def class_names(self) -> list[str]:
        """One name for each class of the model; the data must be read if the records have none."""
        names = self.trained.class_names or [*self.data.class_names]
        return names[: self.trained.num_classes]


def rebuild(
    trained: Trained,
    words: Sequence[str],
    trusted: Sequence[str] = (),
    with_query: bool = False,
    option: str = "--checkpoint",
) -> Rebuilt:
    """Make the objects of a run.

    Args:
        trained: the run and its weights.
        words: options as in ``fit`` that override the configuration.
        trusted: classes of other packages that a stranger's configuration may name.
        with_query: make the strategy of the run, too.
        option: option that names the checkpoint, for messages.

    Raises:
        ConfigError: the configuration is damaged, names an untrusted class, or does not fit the weights.
    """
    parser = build_parser()
    leave_out = (*OF_THE_START, *_UNUSED)
    # the trainer is new, since this may be another machine; optimizer and initial weights are not needed
    found = read_config(trained.run.folder, (*_READ, "query") if with_query else _READ, trusted, leave_out=leave_out)
    may_write = found.own or any(word.startswith("--data.root") for word in words)
    query = [] if with_query else ["--query", "Random"]
    config = parse(parser, ["--trainer.max_epochs", "1", *query, *words], base=found.values)
    with as_user_error(), quiet_lightning():
        part = instantiate(parser, config, "query", "data", "model")
        check_classes(part.query, trained.num_classes)
        if trained.run.records:
            read_as_recorded(part.data, trained.run.folder, trained.run.amendments, trained.run.records[0])
        if not hasattr(part.data, "mean"):  # features that are not standardized
            with read_only(not may_write):
                read_own_data(part.data)
        model = MSALClassifier(trained.num_classes, part.data.in_channels, **part.model)
    _load(model, trained, option)
    return Rebuilt(trained, config, part.data, model, part.query, may_write)


def _load(model: MSALClassifier, trained: Trained, option: str) -> None:
    try:
        model.load_state_dict(trained.weights)
    except RuntimeError:
        raise ConfigError(
            f"expected '{trained.file}' to be a model of '{trained.run.folder / 'config.yaml'}', got one with other "
            f"layers: set {option} to a file of the same run"
        ) from None


def read_own_data(data: ActiveDataModule) -> None:
    """Read the data of a run; a folder of images is only listed."""
    if isinstance(data, ImageFolder):
        data.memory = False
        with redirect_stdout(io.StringIO()):  # its notes on memory concern other images
            data.setup()
    else:
        data.prepare_data()
        data.setup()
