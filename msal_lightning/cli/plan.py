"""``fit --plan``: what a run will do and about how long it takes, before anything is trained."""

import itertools
import math
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer, seed_everything
from lightning.pytorch.utilities.seed import isolate_rng
from rich.table import Table

from msal_lightning.data.batches.loading import Batch
from msal_lightning.errors import ConfigError
from msal_lightning.io.console import shared_console
from msal_lightning.io.terminal import say
from msal_lightning.io.wording import counted
from msal_lightning.loop.loop import ActiveLoop
from msal_lightning.models.cost import step_bytes
from msal_lightning.seeding import derive_seed
from msal_lightning.training.lightning_noise import quiet_lightning
from msal_lightning.training.step_callback import StepCallback

_WARM_UP = 3  # steps that are not counted: the first ones allocate and choose algorithms
_STEPS = 5
_FEW = 8  # a last batch is small below this part of a batch


@dataclass(frozen=True)
class Plan:
    """The size of a run.

    Attributes:
        label_counts: number of labels before each round, including held-out ones.
        steps: optimizer steps of each round, on each process.
        scored: images in each round's pool pass, pool and labeled set together.
        tested: images in each round's test.
        parameters: number of parameters of the model.
        image_bytes: size of the training and test images, in bytes.
        step_bytes: memory of an optimizer step in float32 at least, in bytes, see :func:`step_bytes`.
        models_kept: number of models kept after the run, by loop.keep_checkpoints.
        warnings: one sentence for each setting that the user may not have intended.
    """

    label_counts: list[int]
    steps: list[int]
    scored: list[int]
    tested: int
    parameters: int
    image_bytes: int
    step_bytes: float
    models_kept: int
    warnings: list[str]


@dataclass(frozen=True)
class Speed:
    """The speed measured on this machine.

    Attributes:
        step: seconds per optimizer step on a full batch.
        image: seconds per image in a pool pass.
    """

    step: float
    image: float


def make_plan(loop: ActiveLoop, max_epochs: int | None, max_steps: int = -1) -> Plan:
    """Compute the size of a run without training.

    Args:
        loop: the run.
        max_epochs: epochs of each fit, or None.
        max_steps: optimizer steps of each fit, or -1.

    Raises:
        ConfigError: a person has not named two classes yet.
    """
    if loop.data.num_classes < 2:
        raise ConfigError(
            f"expected at least two classes to plan with, got {loop.data.num_classes}, because a person names them "
            "later: set data.classes"
        )
    counts, data, strategy, options = loop.labels.label_counts, loop.data, loop.strategy, loop.options
    held_out = loop.labels.held_out
    ranks = loop.num_processes
    available = data.num_pool + len(data.labeled)
    scored = []
    for round, labeled in enumerate(counts):
        is_last = round == len(counts) - 1
        pool = available - labeled
        limit = data.context.pool_limit
        seen = min(pool, limit) if limit else pool
        asks = bool(strategy.needs) and not is_last
        looks = asks or options.pool_error or options.keep_embeddings
        scored.append((seen if looks else 0) + (labeled - held_out if asks and strategy.needs_labeled else 0))
    with isolate_rng(), quiet_lightning():
        model = loop.fitter.new_model()
    limits: list[Callable[[int], int]] = []
    if max_epochs is not None and max_epochs >= 0:
        limits.append(lambda n: max_epochs * len(data.epoch_batches(data.pool[: data.num_trained(n)], ranks=ranks)))
    if max_steps >= 0 or not limits:
        limits.append(lambda n: max(0, max_steps))
    shapes = [data.images.shape, data.test.image.shape]
    return Plan(
        label_counts=counts,
        steps=[min(limit(n - held_out) for limit in limits) for n in counts],
        scored=scored,
        tested=len(data.test.label) or held_out,
        parameters=sum(p.numel() for p in model.parameters()),
        image_bytes=data.images.dtype.itemsize * sum(math.prod(shape) for shape in shapes),
        step_bytes=step_bytes(model, shapes[0][1:], data.batch_size),
        models_kept={"none": 0, "last": 1, "all": len(counts)}[options.keep_checkpoints],
        warnings=list(_warnings(loop)),
    )


def _warnings(loop: ActiveLoop) -> Iterator[str]:
    counts, data = loop.labels.label_counts, loop.data
    queried = [after - before for before, after in itertools.pairwise(counts)]
    trained = [n - loop.labels.held_out for n in counts]
    if trained[0] < data.num_classes:
        yield f"the initial set has {counted(trained[0], 'label')} for {data.num_classes} classes: some have no label"
    few = data.batch_size // _FEW
    if data.last_batch == "keep" and (small := sum(0 < n % data.batch_size <= few < n for n in trained)):
        yield (
            f"in {counted(small, 'round')} the last batch of an epoch has at most {few} images, which spoils "
            "BatchNorm's statistics: set data.last_batch to balanced"
        )
    if queried and queried[0] % data.num_classes and loop.strategy.needs_prototypes:
        yield (
            f"loop.query_size {queried[0]} is no multiple of {data.num_classes} classes: "
            f"{queried[0] % data.num_classes} "
            "labels per round go to the images closest to any prototype"
        )
    if len(set(queried)) > 1:
        yield f"loop.query_size {queried[0]} does not divide the budget: the last query selects {queried[-1]}"
    thresholds = [loop.strategy.pseudo_label_threshold(round) for round in range(len(queried))]
    if without := [round for round, threshold in enumerate(thresholds) if threshold == 0]:
        yield (
            f"query {loop.strategy.name} makes no pseudo-labels in {len(without)} of {len(queried)} queries, from "
            f"round {without[0]} on, because its threshold is 0: query.decay span lets it fall over the whole run"
        )
    for n in queried[:1]:
        size = loop.strategy.shortlist_size(n)
        pool = data.num_pool - counts[0]
        if size is not None and size >= pool:
            yield f"the shortlist of {size} images holds the whole pool of {pool}: the pre-filter does nothing"


def measure(loop: ActiveLoop) -> Speed:
    """Train a few steps and score a few batches, in a temporary folder."""
    data = loop.data
    stopwatch = _Stopwatch()
    with isolate_rng(), quiet_lightning(), tempfile.TemporaryDirectory() as folder:
        seed_everything(derive_seed(loop.options.seed, "init", 0), verbose=False)
        model = loop.fitter.new_model()
        if model.frozen_epochs < math.inf:
            model.frozen_epochs = 0  # the longer steps
        steps = loop.fitter.choose_steps(model)
        data.reset(loop.options.seed)
        # as many as in the last round, so that batches are full
        index = data.initial_order()[: loop.labels.label_counts[-1]]
        data.split.restore(index, torch.zeros_like(index), 0)  # the labels do not matter
        settings: dict[str, Any] = {
            "logger": False,
            "enable_checkpointing": False,
            "enable_model_summary": False,
            "enable_progress_bar": False,
            "default_root_dir": folder,
            "callbacks": [stopwatch],
        }
        trainer = loop.fitter.make_trainer(**settings, max_steps=_WARM_UP + _STEPS, max_epochs=-1)
        with closing(steps):
            trainer.fit(model, datamodule=data)
        data.reset(loop.options.seed)
        loop.fitter.make_trainer(**settings, limit_predict_batches=_WARM_UP + _STEPS).predict(
            model, datamodule=data, return_predictions=False
        )
    return Speed(_each(stopwatch.steps), _each(stopwatch.batches))


def show(title: str, plan: Plan, speed: Speed) -> None:
    """Print a plan and the time that it takes at a measured speed."""
    say(title)
    counts = [f"{n:,}" for n in plan.label_counts]
    shown = counts if len(counts) <= 6 else [*counts[:3], "…", counts[-1]]
    steps, scored, tested = sum(plan.steps), sum(plan.scored), plan.tested * len(counts)
    fits, looks = steps * speed.step, (scored + tested) * speed.image
    rows = {
        "rounds": f"{len(counts)}: {', '.join(shown)} labels",
        "training": f"{counted(len(counts), 'fit')}, {counted(steps, 'optimizer step')}",
        "scoring": (
            f"{counted(scored, 'image')} in {counted(sum(map(bool, plan.scored)), 'query')}, {tested:,} in "
            f"{counted(len(counts), 'test')}"
        ),
        "memory": (
            f"images {_size(plan.image_bytes)}, parameters {_size(4 * plan.parameters)} (Adam: four times that), an "
            f"optimizer step at least {_size(plan.step_bytes)} in float32"
        ),
        "disk": (
            f"{_size(4 * plan.parameters * plan.models_kept)} for the models kept ({plan.models_kept}), up to "
            f"{_size(12 * plan.parameters)} for the fit in progress; records and tables beside them"
        ),
        "time": (
            f"about {_duration(fits + looks)}: fits {_duration(fits)}, queries and tests {_duration(looks)} "
            f"(measured: {1e3 * speed.step:.1f} ms a step, {1e3 * speed.image:.3f} ms an image; selection not counted)"
        ),
    }
    table = Table.grid(padding=(0, 2))
    for name, text in rows.items():
        table.add_row(name, text)
    for warning in plan.warnings:
        table.add_row("note", warning)
    shared_console().print(table)


def _size(num_bytes: float) -> str:
    return f"{num_bytes / 1e9:.2f} GB" if num_bytes >= 1e8 else f"{num_bytes / 1e6:.2f} MB"


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


class _Stopwatch(StepCallback):
    """Records the end of each step or batch and its number of images; the first entry is the start."""

    def __init__(self) -> None:
        self.steps: list[tuple[float, int]] = []
        self.batches: list[tuple[float, int]] = []

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.steps.append((time.perf_counter(), 0))

    def on_step_end(self, trainer: Trainer, loss: torch.Tensor | None, step: int) -> None:
        if loss is not None:
            loss.item()  # the host may be some steps ahead of a GPU
        self.steps.append((time.perf_counter(), 1))

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.batches.append((time.perf_counter(), 0))

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self.batches.append((time.perf_counter(), len(batch.index)))


def _each(entries: list[tuple[float, int]]) -> float:
    """Seconds per step or image, without the warm-up if there are enough entries."""
    counted = entries[_WARM_UP:] if len(entries) > 2 * _WARM_UP else entries
    return (counted[-1][0] - counted[0][0]) / max(1, sum(count for _, count in counted[1:]))
