"""Private parts of other libraries, each with the reason why no public part is enough.

No other module uses private parts. ``tests/test_compat.py`` fails if a new version has changed one.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse

    from lightning.pytorch import Trainer


def parser_actions(parser: "argparse.ArgumentParser") -> "list[argparse.Action]":
    """Return all options of a parser; argparse has no public list."""
    return parser._actions


def drop_options_of_another_class() -> None:
    """Make a newly named class start from its own defaults, in all parsers of this process.

    jsonargparse carries over every option that both classes have: ``--config digits --query DBAL`` would silently run
    DBAL with the ``uncertainty`` and ``beta`` that digits.yaml gives MSALD.

    Raises:
        ImportError: the installed jsonargparse has other internals.
    """
    import jsonargparse._typehints as typehints

    name = "discard_init_args_on_class_path_change"
    if not hasattr(typehints, name):
        raise ImportError(f"jsonargparse has no {name} any more: install a version below 5")
    setattr(typehints, name, _drop_options)


def _drop_options(parser_or_action: Any, prev_val: Any, value: Any) -> None:
    if prev_val and "init_args" in prev_val and prev_val["class_path"] != value["class_path"]:
        prev_val.pop("init_args")


def scan_packages_once() -> None:
    """Make all Trainers of this process share one scan of the installed packages for callbacks.

    Lightning scans them for each Trainer, 25 ms each; no option turns that off.
    """
    from functools import cache

    import lightning.fabric.utilities.registry

    registry: Any = lightning.fabric.utilities.registry
    if not hasattr(registry.entry_points, "cache_info"):
        registry.entry_points = cache(registry.entry_points)


def starts_processes_anew(trainer: "Trainer") -> bool:
    """Return whether a Trainer starts new processes for each fit, as ddp_spawn, ddp_fork and ddp_notebook do.

    Only a private class of Lightning distinguishes these launchers.
    """
    from lightning.pytorch.strategies.launchers import _MultiProcessingLauncher

    return isinstance(trainer.strategy.launcher, _MultiProcessingLauncher)


def waits_for_all_gradients(trainer: "Trainer") -> bool:
    """Return whether DistributedDataParallel waits for the gradient of each parameter that needs one.

    Only a private attribute of Lightning's strategy has the option that turns this off.
    """
    from lightning.pytorch.strategies import DDPStrategy

    strategy = trainer.strategy
    return isinstance(strategy, DDPStrategy) and not strategy._ddp_kwargs.get("find_unused_parameters")


def count_as_fitted(trainer: "Trainer", epochs: int, steps: int) -> None:
    """Make a Trainer that got the weights of a finished fit log with that fit's numbers of epochs and steps.

    Only a private attribute of Lightning's loop holds the step that loggers get.
    """
    trainer.fit_loop.epoch_progress.current.completed = epochs
    trainer.fit_loop.epoch_loop._batches_that_stepped = steps


def resume_between_epochs(trainer: "Trainer") -> None:
    """Make a resumed fit with max_steps start its next epoch.

    Otherwise Lightning assumes that the fit was saved in the middle of an epoch, and repeats the end of that epoch.
    """
    trainer.fit_loop._iteration_based_training = lambda: False  # type: ignore[method-assign]


def count_steps(trainer: "Trainer", steps: int) -> None:
    """Count the optimizer steps that a model took within one batch of Lightning, for max_steps and the loggers.

    Lightning counts the steps of manual optimization only in its own optimizer wrapper, one call at a time, and one
    logged step for each batch.

    Args:
        trainer: a Trainer in its fit.
        steps: number of steps within this batch.
    """
    loop = trainer.fit_loop.epoch_loop
    progress = loop.manual_optimization.optim_step_progress
    for counted in (progress.total, progress.current):
        counted.ready += steps
        counted.completed += steps
    loop._batches_that_stepped += steps - 1  # Lightning adds one


def add_to_requeue_handler(handler: Any, also: Callable[..., None]) -> Any:
    """Extend Lightning's signal handler, which makes SLURM requeue the job, by a second handler.

    Only a private class identifies Lightning's handler.

    Args:
        handler: the handler that is installed for a signal.
        also: the second handler, called after the first.

    Returns:
        A handler that calls both; None if ``handler`` is not Lightning's.
    """
    from lightning.pytorch.trainer.connectors.signal_connector import _HandlersCompose

    return _HandlersCompose([handler, also]) if isinstance(handler, _HandlersCompose) else None


def cpu_computes_in_bfloat16() -> bool:
    """Return whether this CPU multiplies bfloat16 matrices natively; torch 2.14 has no public test for it."""
    import torch

    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def label_studio_headers(client: Any) -> dict[str, str]:
    """Return the authentication headers of a Label Studio SDK client, for uploads that the SDK does not offer."""
    headers: dict[str, str] = client._client_wrapper.get_headers()
    return headers
