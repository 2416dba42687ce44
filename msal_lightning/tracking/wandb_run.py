"""Start a run of Weights & Biases; project, entity and mode come from W&B's own variables."""

import hashlib
import json
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from msal_lightning.errors import UserError
from msal_lightning.paper.methods import last_word, method_name
from msal_lightning.runs.changes import without_defaults
from msal_lightning.runs.config import flatten, is_free

if TYPE_CHECKING:
    import wandb


FINISH_SECONDS = 30
"""Seconds that W&B may upload at the end of a run before it leaves the rest on disk."""


def start_wandb(run_id: str | None = None, ask: bool = True, **settings: Any) -> "wandb.Run":
    """``wandb.init``, in the project ``msal_lightning`` unless ``WANDB_PROJECT`` says otherwise.

    Args:
        run_id: id of the run to begin or resume; None for a new run. Under a sweep agent of W&B the agent's id counts.
        ask: whether W&B may ask on the terminal for an account, and wait long for a slow server.
        **settings: further arguments of ``wandb.init``.

    Raises:
        UserError: W&B needs an account, or cannot be reached.
    """
    import wandb  # takes half a second, which other runs save

    if sweep_run_id() is None:  # W&B warns about settings that the agent decides
        settings |= {"project": os.environ.get("WANDB_PROJECT", "msal_lightning"), "id": run_id}
    limits = {"finish_timeout": FINISH_SECONDS, "finish_timeout_raises": True}
    limits |= {} if ask else {"login_timeout": 1, "init_timeout": FINISH_SECONDS}
    try:
        return wandb.init(**settings, settings=limits)
    except wandb.errors.Error as error:
        raise UserError(
            f"logger wandb cannot start ({str(error).splitlines()[0]}): run `wandb login` once, "
            "set WANDB_MODE=offline, or set logger to csv"
        ) from None


def is_offline() -> bool:
    """Whether W&B writes to disk only."""
    import wandb

    return wandb.setup().settings.mode in ("offline", "dryrun")


def sweep_run_id() -> str | None:
    """The id that a sweep agent of W&B gives the run of this process; None without an agent."""
    return os.environ.get("WANDB_RUN_ID") if os.environ.get("WANDB_SWEEP_ID") else None


def group_name(config: Mapping[str, Any]) -> str:
    """Return a name that runs share if they differ only in their seed: dataset, method and four digits of a hash.

    The hash covers every config key that affects results. It separates ``query.beta 5`` from ``query.beta 10``, which
    are one method, so that W&B does not average them.

    Args:
        config: the whole resolved configuration.
    """
    flat = flatten(config)
    replay = " replay" if flat.pop("loop.replay", None) else ""  # a path that may differ by seed
    same = {k: v for k, v in without_defaults(flat).items() if k != "seed" and not is_free(k)}
    digest = hashlib.blake2s(json.dumps([replay, same], sort_keys=True).encode(), digest_size=2).hexdigest()
    return f"{last_word(flat.get('data.class_path'))} {method_name(flat)}{replay} {digest}"
