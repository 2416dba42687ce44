"""Callbacks that the loop rejects, because it does their work or because they make results irreproducible."""

from collections.abc import Iterable

from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import (
    BatchSizeFinder,
    Checkpoint,
    EarlyStopping,
    GradientAccumulationScheduler,
    LearningRateFinder,
    ProgressBar,
    StochasticWeightAveraging,
    Timer,
    WeightAveraging,
)

from msal_lightning.errors import ConfigError

VALIDATION_LOSS = "val_loss"
"""Metric of the validation part that decides which epoch is the best."""
_REFUSED: tuple[tuple[type, str], ...] = (
    (
        Checkpoint,
        "the run saves its models itself: leave it out, or set loop.keep_checkpoints to all",
    ),
    (ProgressBar, "the loop draws its own bars: leave it out"),
    (
        LearningRateFinder,
        "each round would have another learning rate: find one in advance, and set it in model.optimizer",
    ),
    (BatchSizeFinder, "each round would have another batch size: set data.batch_size"),
)


def check_callbacks(callbacks: Iterable[object], validates: bool) -> None:
    """Check the user's callbacks before anything is trained.

    Args:
        callbacks: the user's callbacks.
        validates: whether a part of the labeled set is left out to validate on.

    Raises:
        ConfigError: a callback is rejected, or is no callback.
    """
    for callback in callbacks:
        name = type(callback).__name__
        if not isinstance(callback, Callback):
            raise ConfigError(
                f"expected trainer.callbacks to be callbacks of Lightning, got {name}: name classes that are derived "
                "from lightning.pytorch.Callback"
            )
        for refused, why in _REFUSED:
            if isinstance(callback, refused):
                raise ConfigError(f"expected trainer.callbacks without {name}, because {why}")
        if isinstance(callback, Timer) and callback.time_remaining() is not None:
            raise ConfigError(
                "trainer.max_time, or a Timer with a duration, ends a fit by the clock, so results cannot be "
                "reproduced: set trainer.max_epochs or trainer.max_steps"
            )
        if isinstance(callback, EarlyStopping):
            check_monitor(f"trainer.callbacks: {name}", callback.monitor, validates)
        if validates and isinstance(callback, WeightAveraging | StochasticWeightAveraging):
            raise ConfigError(
                f"expected trainer.callbacks without {name} beside data.validation_fraction, because the fit ends with "
                "the weights of its best epoch and not with an average: leave one of the two out"
            )


def check_trainer(trainer: Trainer, validates: bool) -> None:
    """Check options of a Trainer that would make a fit fail or do nothing.

    Args:
        trainer: a Trainer with the user's callbacks.
        validates: whether a part of the labeled set is left out to validate on.

    Raises:
        ConfigError: an option does not work.
    """
    theirs = (callback for callback in _callbacks(trainer) if not type(callback).__module__.startswith("msal_"))
    check_callbacks(theirs, validates)
    if trainer.accumulate_grad_batches < 1:
        raise ConfigError(
            "expected trainer.accumulate_grad_batches to be at least 1, the batches of one step, got "
            f"{trainer.accumulate_grad_batches}: leave it out"
        )
    if trainer.gradient_clip_val is not None and trainer.gradient_clip_val <= 0:
        raise ConfigError(
            "expected trainer.gradient_clip_val to be above 0, the largest norm of the gradient, got "
            f"{trainer.gradient_clip_val}: leave it out for no limit"
        )
    for least, most in (("min_epochs", "max_epochs"), ("min_steps", "max_steps")):
        value, end = getattr(trainer, least), getattr(trainer, most)
        if value is not None and not 0 <= value <= (end if end not in (None, -1) else value):
            raise ConfigError(
                f"expected trainer.{least} to be at least 0 and at most trainer.{most} ({end}), got {value}: leave it "
                "out"
            )
    scheduled = any(isinstance(callback, GradientAccumulationScheduler) for callback in _callbacks(trainer))
    if scheduled and trainer.accumulate_grad_batches != 1:
        raise ConfigError(
            "expected trainer.accumulate_grad_batches or the callback GradientAccumulationScheduler, got both: leave "
            "one out"
        )


def _callbacks(trainer: Trainer) -> list[Callback]:
    return trainer.callbacks  # type: ignore[attr-defined, no-any-return]


def check_monitor(where: str, monitor: str, validates: bool) -> None:
    """Reject metrics that are not measured during training.

    Args:
        where: the key and the class that use the metric.
        monitor: name of a metric.
        validates: whether a part of the labeled set is left out to validate on.

    Raises:
        ConfigError: the metric belongs to the test set, or to a validation part that there is none of.
    """
    if monitor.startswith("test"):
        raise ConfigError(
            f"{where} monitors '{monitor}', but the test set must not decide: set monitor to train_loss, or to "
            f"{VALIDATION_LOSS} with data.validation_fraction"
        )
    if monitor.startswith("val") and not validates:
        raise ConfigError(
            f"{where} monitors '{monitor}', but nothing is left out to validate on: set data.validation_fraction, or "
            "monitor to train_loss"
        )
