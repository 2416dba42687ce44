"""Whether Lightning can run an epoch as one batch, or has to run each optimizer step as a batch of its own."""

from collections.abc import Iterator
from typing import Any

from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import GradientAccumulationScheduler, StochasticWeightAveraging
from lightning.pytorch.profilers import PassThroughProfiler
from lightning.pytorch.strategies import SingleDeviceStrategy

from msal_lightning.data.base import ActiveDataModule
from msal_lightning.data.images.image_files import ImageFiles
from msal_lightning.models.classifier import MSALClassifier
from msal_lightning.training.step_callback import StepCallback

_PRECISIONS = ("32-true", "bf16-mixed")  # 16-mixed scales the loss
_USUAL = {
    "accumulate_grad_batches": 1,
    "gradient_clip_val": None,
    "limit_train_batches": 1.0,
    "overfit_batches": 0.0,
    "val_check_interval": 1.0,
}
_STEP_HOOKS = (
    "on_train_batch_start",
    "on_train_batch_end",
    "on_before_zero_grad",
    "on_before_backward",
    "on_after_backward",
    "on_before_optimizer_step",
)
_TRANSFER_HOOKS = ("on_before_batch_transfer", "transfer_batch_to_device", "on_after_batch_transfer")
_MODEL_HOOKS = (
    *_STEP_HOOKS,
    "training_step",
    "backward",
    "optimizer_step",
    "optimizer_zero_grad",
    "configure_gradient_clipping",
    "configure_optimizers",
    "lr_scheduler_step",
    *_TRANSFER_HOOKS,
)
_BY_BATCH = (GradientAccumulationScheduler, StochasticWeightAveraging)  # they change Lightning's own optimization
_DATA_HOOKS = ("train_dataloader", "val_dataloader", *_TRANSFER_HOOKS)


def why_single_steps(trainer: Trainer, model: MSALClassifier, data: ActiveDataModule) -> str | None:
    """Return why each step has to be a batch of Lightning; None if an epoch can be one.

    Args:
        trainer: a Trainer with all callbacks of a fit, before the fit.
        model: a model with fresh weights.
        data: data module after ``setup``.
    """
    return next(_reasons(trainer, model, data), None)


def _reasons(trainer: Trainer, model: MSALClassifier, data: ActiveDataModule) -> Iterator[str]:
    if not isinstance(trainer.strategy, SingleDeviceStrategy):
        yield f"{trainer.world_size} processes share it"
    if trainer.precision not in _PRECISIONS:
        yield f"trainer.precision is {trainer.precision}"
    for key, usual in _USUAL.items():
        value = getattr(trainer, key)
        if value != usual or type(value) is not type(usual):  # limit_train_batches 1 is one batch, 1.0 is all
            yield f"trainer.{key} is {value}"
    if data.validation_fraction and trainer.max_steps != -1:
        yield "trainer.max_steps may end a fit within an epoch, which Lightning does not validate then"
    if not isinstance(trainer.profiler, PassThroughProfiler):  # type: ignore[attr-defined]
        yield "trainer.profiler measures it"
    callbacks: list[Any] = [*trainer.callbacks, *model.configure_callbacks()]  # type: ignore[attr-defined]
    yield from (f"the callback {type(callback).__name__} acts on it" for callback in callbacks if _sees_steps(callback))
    if data.num_workers or isinstance(data.images, ImageFiles):
        yield "images are decoded from disk"
    for part, hooks, base in ((data, _DATA_HOOKS, ActiveDataModule), (model, _MODEL_HOOKS, MSALClassifier)):
        yield from (f"{type(part).__name__} has its own {hook}" for hook in hooks if _has_own(part, hook, base))
    if isinstance(made := model.configure_optimizers(), tuple) and any(isinstance(each, dict) for each in made[1]):
        yield "the schedule of the learning rate monitors a metric"


def _sees_steps(callback: Callback) -> bool:
    if isinstance(callback, StepCallback):
        return False
    return isinstance(callback, _BY_BATCH) or any(_has_own(callback, hook, Callback) for hook in _STEP_HOOKS)


def _has_own(part: object, hook: str, base: type) -> bool:
    method = getattr(part, hook)  # of the object, because LambdaCallback keeps its hooks there
    return getattr(method, "__func__", None) is not getattr(base, hook)
