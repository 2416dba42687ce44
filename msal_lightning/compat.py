"""Private parts of other libraries, each with the reason why no public part does the same.

Nothing else in the package reaches into them; ``tests/test_compat.py`` fails where a new version has changed one.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse

    from lightning.pytorch import Trainer


def parser_actions(parser: "argparse.ArgumentParser") -> "list[argparse.Action]":
    """All options of a parser: argparse has no public list."""
    return parser._actions


def drop_options_of_another_class() -> None:
    """Let a class that is named anew start from its own defaults, in all parsers of this process.

    jsonargparse carries over every option that both classes have: ``--config digits --query DBAL`` would run DBAL with
    the ``uncertainty`` and ``beta`` that digits.yaml gives MSALD, and nothing would say so.

    Raises:
        ImportError: jsonargparse has changed inside.
    """
    import jsonargparse._typehints as typehints

    name = "discard_init_args_on_class_path_change"
    if not hasattr(typehints, name):
        raise ImportError(f"jsonargparse has no {name} any more: install a version below 5")
    setattr(typehints, name, _drop_options)


def _drop_options(parser_or_action: Any, prev_val: Any, value: Any) -> None:
    if prev_val and "init_args" in prev_val and prev_val["class_path"] != value["class_path"]:
        prev_val.pop("init_args")


def starts_processes_anew(trainer: "Trainer") -> bool:
    """Whether the processes of a Trainer come and go with each fit: ddp_spawn, ddp_fork and ddp_notebook.

    Lightning tells launchers apart by a private class only.
    """
    from lightning.pytorch.strategies.launchers import _MultiProcessingLauncher

    return isinstance(trainer.strategy.launcher, _MultiProcessingLauncher)


def resume_between_epochs(trainer: "Trainer") -> None:
    """Let a resumed fit with max_steps start its next epoch.

    Lightning takes such a fit for one that was saved in the middle of an epoch, and repeats the end of that epoch.
    """
    trainer.fit_loop._iteration_based_training = lambda: False  # type: ignore[method-assign]


def add_to_requeue_handler(handler: Any, also: Callable[..., None]) -> Any:
    """A signal handler that has SLURM requeue the job, as Lightning's does, and then calls another one.

    Lightning tells its handler apart by a private class only.

    Args:
        handler: installed for a signal.
        also: a further handler.

    Returns:
        Both in one; None where the handler is not Lightning's.
    """
    from lightning.pytorch.trainer.connectors.signal_connector import _HandlersCompose

    return _HandlersCompose([handler, also]) if isinstance(handler, _HandlersCompose) else None


def cpu_computes_in_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16 matrices itself: torch 2.14 has no public question for it."""
    import torch

    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def label_studio_headers(client: Any) -> dict[str, str]:
    """What a client of the Label Studio SDK sends for authentication, for uploads that the SDK cannot do."""
    headers: dict[str, str] = client._client_wrapper.get_headers()
    return headers
