"""``fit`` and ``replay``: from a configuration to a running loop."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import torch
from jsonargparse import ArgumentParser, Namespace
from lightning.pytorch import Trainer
from lightning.pytorch.utilities.rank_zero import rank_zero_only  # type: ignore[attr-defined]
from lightning.pytorch.utilities.seed import isolate_rng

from msal_lightning.analysis.status import outlook
from msal_lightning.cli.run_config import protecting, read_for_fit
from msal_lightning.cli.workers.ray_pool import RayParts
from msal_lightning.compat import scan_packages_once
from msal_lightning.config.command_parser import PROGRAM, TRUST_HELP, CommandParser
from msal_lightning.config.parser import as_user_error, build_parser, instantiate, parse, resolve
from msal_lightning.config.paths import expand
from msal_lightning.config.trust import OF_THE_START
from msal_lightning.data.batches.batch_size import as_it_began
from msal_lightning.errors import ConfigError
from msal_lightning.io.terminal import say
from msal_lightning.io.wording import counted
from msal_lightning.loop.loop import ActiveLoop
from msal_lightning.loop.pool_pass import PassInParts, PoolPass, pass_of_trainer
from msal_lightning.models.classifier import MSALClassifier
from msal_lightning.models.cost import step_bytes, step_flop
from msal_lightning.oracles.base import Oracle
from msal_lightning.runs.directory import RunDirectory
from msal_lightning.runs.options import LoopOptions
from msal_lightning.runs.records import RoundRecord
from msal_lightning.tracking import LightningTracker, Tracker, WandbTracker
from msal_lightning.tracking.make_logger import make_logger
from msal_lightning.tracking.queried_images import QueriedImages
from msal_lightning.training.callback_rules import check_callbacks
from msal_lightning.training.gpu_memory import check_memory, free_bytes, take_share
from msal_lightning.training.lightning_noise import quiet_lightning
from msal_lightning.training.precision import choose_precision
from msal_lightning.training.threads import choose_threads

# A replay takes these keys from the run whose labels it uses
_SIZES = ("initial_size", "query_size", "query_budget", "held_out")
_REPLAYED = ("query", "oracle", *(f"loop.{key}" for key in (*_SIZES, "initial", "initial_features", "stop", "lag")))
# and these too if its user made that run
_TAKEN_OVER_OF_ONES_OWN = ("logger", "oracle", "wandb_images")


def fit(argv: list[str], base: Mapping[str, Any] | None = None) -> None:
    """Parse, then run or resume the loop.

    Args:
        argv: options of the command.
        base: configuration that the options override, already checked if it may be a stranger's.

    Raises:
        UserError: a mistake that the user can correct.
    """
    with open_loop(argv, base) as (loop, config):
        if config.plan:
            _plan(loop, config.trainer.max_epochs, config.trainer.max_steps)
            return
        records = loop.run()
    if loop.waiting is None and _is_labeled_by_people(records[0]):
        for line in outlook(loop.run_directory.path, records):
            rank_zero_only(say)(line)


@contextmanager
def open_loop(
    argv: Sequence[str],
    base: Mapping[str, Any] | None = None,
    replace_oracle: Callable[[Oracle | None], Oracle | None] = lambda own: own,
) -> Iterator[tuple[ActiveLoop, Namespace]]:
    """Build the loop of a configuration, which ``fit`` runs and ``serve`` asks.

    Args:
        argv: see :func:`fit`.
        base: see there.
        replace_oracle: takes the oracle of the configuration, None for the default; returns the one of this loop.

    Yields:
        The loop, and the configuration.

    Raises:
        UserError: see :func:`fit`.
    """
    scan_packages_once()
    parser = build_parser()
    config = parse(parser, [*argv], base=base)
    with as_user_error(), quiet_lightning():
        part = instantiate(parser, config, "data", "query", "model", "oracle", "loop")

    def new_model() -> MSALClassifier:
        num_classes = max(2, part.data.num_classes)  # a model may be tried before a person has named the classes
        return MSALClassifier(num_classes, part.data.in_channels, **part.model)

    def new_trainer(callbacks: list[Any], **settings: Any) -> Trainer:
        own = instantiate(parser, config, "trainer").trainer.as_dict()  # fresh callbacks each time
        theirs = own.pop("callbacks") or []
        theirs = theirs if isinstance(theirs, list) else [theirs]
        check_callbacks(theirs, part.data.validation_fraction > 0)  # before the Trainer, whose own messages say less
        callbacks = [*theirs, *callbacks]
        trainer = Trainer(**{**own, **settings, "callbacks": callbacks})
        if own["precision"] == "16-mixed" and trainer.strategy.root_device.type == "cpu":
            raise ConfigError("trainer.precision 16-mixed needs a GPU, found a CPU: set it to bf16-mixed or 32-true")
        return trainer

    part.data.only_sample = config.plan
    if config.wandb_images < 0:
        raise ConfigError(f"expected wandb_images to be at least 0, got {config.wandb_images}: 32 is the default")
    run = _run_directory(parser, config, part)
    tracker = _tracker(config.logger, run, QueriedImages(run, part.data, config.wandb_images))
    with _pool_pass(config, run) as pool_pass:
        with as_user_error():
            loop = ActiveLoop(
                new_model,
                new_trainer,
                part.data,
                part.query,
                run,
                LoopOptions(**part.loop, seed=config.seed),
                replace_oracle(part.oracle),
                tracker,
                pool_pass,
            )
        _use_device(loop)
        yield loop, config


@contextmanager
def _pool_pass(config: Namespace, run: RunDirectory) -> Iterator[PoolPass]:
    """Connect to a Ray cluster if it scores the pool, and leave it at the end."""
    if config.query_parts is not None and config.query_parts < 1:
        raise ConfigError(f"expected query_parts to be at least 1, got {config.query_parts}: leave it out")
    if config.query_executor == "trainer" or config.plan:
        yield pass_of_trainer
        return
    if config.loop.keep_embeddings:
        raise ConfigError("expected query_executor trainer with loop.keep_embeddings, got ray: leave one of them out")
    with closing(RayParts()) as ray:
        yield PassInParts(run.config, config.query_parts or 2 * ray.num_cores, ray)


def _use_device(loop: ActiveLoop) -> None:
    """Let a run on a CPU use as many threads as its steps are worth, and check that a run fits into a GPU's memory."""
    with isolate_rng(), quiet_lightning():
        trainer, model = loop.fitter.new_trainer(), loop.fitter.new_model()
    device, image = trainer.strategy.root_device, loop.data.images.shape[1:]
    if device.type == "cpu":
        if not torch.cuda.device_count():
            os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")  # or each step of an optimizer asks the driver again
        _use_threads(loop, step_flop(model, image, loop.data.batch_size))
    elif device.type == "cuda":
        take_share(device)
        labeled = loop.data.pool[: loop.labels.label_counts[-1]]  # as many as in the last round
        batch_size = next(iter(loop.data.epoch_batches(labeled, ranks=trainer.world_size))).numel()
        value_bytes = 4 if trainer.precision == "32-true" else 2
        check_memory(step_bytes(model, image, batch_size, value_bytes), free_bytes(device), batch_size)


def _use_threads(loop: ActiveLoop, work: float) -> None:
    """Set the number of threads; a resumed run has as many as it began with."""
    first = loop.run_directory.first_record()
    threads, why = choose_threads(work, first.environment.get("threads") if first else None)
    if why:
        torch.set_num_threads(threads)
        rank_zero_only(say)(f"{counted(threads, 'thread')}: {why} (OMP_NUM_THREADS is the limit)", flush=True)


def _run_directory(parser: ArgumentParser, config: Namespace, part: Namespace) -> RunDirectory:
    """Make the run directory of a configuration, and choose ``trainer.precision`` if it is auto."""
    replayed = "-replay" if config.loop.replay else ""
    name = f"{part.data.name}-{part.query.name}-{config.model.head}-seed{config.seed}{replayed}"
    path = Path(config.run_dir or Path("runs") / name)
    requeued = int(os.environ.get("SLURM_RESTART_COUNT") or 0) > 0  # SLURM repeats the command as it was
    overwrite = config.overwrite and not requeued
    if config.trainer.precision == "auto":
        config.trainer.precision, why = choose_precision(config.trainer.accelerator, None if overwrite else path)
        rank_zero_only(say)(f"precision {config.trainer.precision}: {why} (trainer.precision auto)", flush=True)
    return RunDirectory(path, resolve(parser, config), overwrite)


def replay(argv: list[str]) -> None:
    """Run ``fit`` with the configuration and the labels of an existing run.

    Args:
        argv: ``--run DIR`` and options of ``fit``.

    Raises:
        UserError: see :func:`fit`, or ``--run`` is no run directory.
    """
    prog = f"{PROGRAM} replay"
    parser = CommandParser(
        prog,
        usage=f"{prog} --run DIR [any option of fit]",
        description="Train another model, or the same model with another seed, on the labels that a run queried. No "
        "query is made. All options of fit are allowed except those that choose images: --query, --oracle and the "
        "sizes in --loop.",
        examples=[
            f"{prog} --run runs/mine --model.head linear",
            f"{prog} --run runs/mine --seed 1 --run_dir runs/seed1",
        ],
    )
    parser.add_argument(
        "--run", required=True, metavar="DIR", type=expand, help="the run directory to take labels from"
    )
    parser.add_argument("--trust", action="append", default=[], metavar="DOTTED.PATH", help=TRUST_HELP)
    options, changes = parser.parse_known_args(argv)
    for word in changes:
        key = word.partition("=")[0].removeprefix("--")
        if word.startswith("--") and any(f"{key}.".startswith(f"{taken}.") for taken in _REPLAYED):
            raise ConfigError(
                f"'replay' takes --{key} from the run in --run: leave it out, or choose images with `fit`"
            )
    found = read_for_fit(Path(options.run), "--run", options.trust, _TAKEN_OVER_OF_ONES_OWN, OF_THE_START)
    found.values["loop"] = {**(found.values.get("loop") or {}), "replay": options.run, "first_fit": None}
    if isinstance(data := found.values.get("data"), dict):
        found.values["data"] = as_it_began(data)
    with protecting(found, changes):
        fit(changes, found.values)


def _is_labeled_by_people(first: RoundRecord) -> bool:
    """Whether people label this run. They want to know the expected gain from more labels."""
    return bool(first.held_out) or first.skipped is not None


def _plan(loop: ActiveLoop, max_epochs: int | None, max_steps: int) -> None:
    from msal_lightning.cli.plan import make_plan, measure, show

    plan, speed = make_plan(loop, max_epochs, max_steps), measure(loop)
    rank_zero_only(show)(loop.title, plan, speed)


def _tracker(logger: str | Namespace, run: RunDirectory, queried: QueriedImages) -> Tracker | None:
    if isinstance(logger, str):
        return WandbTracker(run, queried) if logger == "wandb" else None
    return LightningTracker(make_logger(logger, run), run)
