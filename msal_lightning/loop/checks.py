"""Checks that run before anything is trained or written."""

from collections.abc import Callable

from lightning.pytorch import Trainer
from lightning.pytorch.utilities.seed import isolate_rng

from msal_lightning.data.base import ActiveDataModule
from msal_lightning.data.batches.batch_size import check_batch_size
from msal_lightning.errors import ConfigError
from msal_lightning.models.class_weights import check_balanced_once
from msal_lightning.models.classifier import MSALClassifier
from msal_lightning.models.dry_run import try_model
from msal_lightning.query.callback import Query, check_groups
from msal_lightning.query.shortlist import check_classes
from msal_lightning.strategies.base import Strategy
from msal_lightning.training.callback_rules import check_trainer
from msal_lightning.training.distributed import check_launcher
from msal_lightning.training.lightning_noise import quiet_lightning
from msal_lightning.training.optimizer_steps import check_limits


def check_test_set(data: ActiveDataModule, initial_size: int, held_out: int) -> None:
    """Check that there are images to test on and other images to train on.

    Args:
        data: data module after ``setup``.
        initial_size: number of labels in the initial set.
        held_out: number of these labels to test on.

    Raises:
        ConfigError: there is no test set, or there are two.
    """
    num_test = len(data.test.label)
    if num_test and held_out:
        raise ConfigError(
            f"expected loop.held_out to be 0 for data with a test set, got {held_out} beside {num_test} test "
            "images: leave loop.held_out out, or the test set"
        )
    if not num_test and not held_out:
        raise ConfigError(
            "expected a test set, got none: set data.test_root, give the CSV file a column split with train and test, "
            "or set loop.held_out to the number of labels to test on"
        )
    if not num_test and not 0 < held_out < initial_size:
        raise ConfigError(
            f"expected loop.held_out to be 1 to {initial_size - 1}, less than loop.initial_size, got {held_out}: the "
            "first model trains on the rest of the initial set"
        )


def check_fits(trainer: Trainer, data: ActiveDataModule, initial_size: int, held_out: int) -> None:
    """Check the options of the Trainer against the data.

    Args:
        trainer: a Trainer with the options of the fits.
        data: data module after ``setup``.
        initial_size: number of labels in the initial set.
        held_out: number of these labels to test on.

    Raises:
        ConfigError: an option does not fit the data.
    """
    check_launcher(trainer)
    fraction, labeled = data.validation_fraction, initial_size - held_out
    check_trainer(trainer, validates=fraction > 0)
    if fraction and data.num_trained(labeled) == labeled:
        raise ConfigError(
            f"expected data.validation_fraction {fraction} of the {labeled} labels of the first fit to be at least one "
            "image, got none: raise it, or loop.initial_size"
        )
    first = data.pool[: data.num_trained(labeled)]
    check_limits(trainer, len(data.epoch_batches(first, ranks=trainer.world_size)))
    num_test = len(data.test.label) or held_out
    if trainer.world_size > num_test:
        raise ConfigError(
            f"expected trainer.devices to be at most {num_test}, the number of test images, got {trainer.world_size} "
            "processes: each process tests a part of the images"
        )
    check_batch_size(data.batch_size, data.batch_size_per_device, trainer.world_size)


class ModelCheck:
    """Tries the model before any image is labeled and any round is trained.

    Args:
        new_model: makes a model.
        data: data module after ``setup``.
        strategy: the query strategy.
        max_epochs: epochs of each fit; None without a limit.

    Attributes:
        head: name of the model's head; None until the classes are known.
    """

    def __init__(
        self,
        new_model: Callable[[], MSALClassifier],
        data: ActiveDataModule,
        strategy: Strategy,
        max_epochs: int | None,
    ) -> None:
        self._new_model = new_model
        self._data = data
        self._strategy = strategy
        self._max_epochs = max_epochs
        self.head: str | None = None

    def start(self, names_classes: bool, queries: bool) -> None:
        """Check the model before anything is labeled.

        Args:
            names_classes: whether the classes are unknown until labels name them;
                :meth:`with_classes` must follow then.
            queries: whether the strategy selects images.
        """
        check_groups(self._strategy, self._data)
        if names_classes:
            self.without_classes()
        else:
            self.with_classes(queries)

    def without_classes(self) -> None:
        """Check everything that does not depend on the number of classes.

        Raises:
            UserError: backbone, optimizer or schedule does not work.
        """
        with isolate_rng(), quiet_lightning():
            try:
                model = self._new_model()
            except ValueError:  # a custom model may need the classes
                return
            self._try(model)

    def with_classes(self, queries: bool = True) -> None:
        """Check everything as soon as the classes are known.

        Args:
            queries: whether the strategy selects images.

        Raises:
            ConfigError: the model cannot be trained, or does not fit the strategy.
        """
        check_classes(self._strategy, self._data.num_classes)
        with isolate_rng(), quiet_lightning():
            model = self._new_model()
            Query(self._strategy, 0).prepare(model)
            check_balanced_once(model.weighting, self._data)
            self.head = model.head_name
            self._try(model)
        if queries and self._strategy.needs_prototypes and self.head != "prototype":
            raise ConfigError(
                f"query {self._strategy.name} needs prototypes, got model.head {self.head}: "
                "set model.head to prototype, or query to Entropy, Margin or LeastConfidence"
            )

    def _try(self, model: MSALClassifier) -> None:
        try_model(model, self._data.images.shape[1:], self._max_epochs, self._data.validation_fraction > 0)
