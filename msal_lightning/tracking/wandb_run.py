"""Starting a run of Weights & Biases; project, entity and mode come from W&B's own variables."""

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
"""How long W&B may upload at the end of a run before it leaves the rest on disk."""


def start_wandb(run_id: str | None = None, ask: bool = True, **settings: Any) -> "wandb.Run":
    """``wandb.init``, in the project ``msal_lightning`` unless ``WANDB_PROJECT`` says otherwise.

    Args:
        run_id: of a run that may be resumed; None: a new one. Below a sweep agent of W&B its own id is the one that
            counts.
        ask: whether W&B may ask on the terminal for an account, and take its time for a slow server.
        **settings: further arguments of ``wandb.init``.

    Raises:
        UserError: W&B wants an account, or is out of reach.
    """
    import wandb  # half a second that runs without it need not pay

    if sweep_run_id() is None:  # W&B warns of what the agent has decided
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
    """What runs share that differ in their seed only: dataset, method and four digits of all that alters a result.

    The digits keep ``query.beta 5`` and ``query.beta 10``, which are one method, out of each other's mean.

    Args:
        config: the whole resolved configuration.
    """
    flat = flatten(config)
    replay = " replay" if flat.pop("loop.replay", None) else ""  # a path, which tells the seed
    same = {k: v for k, v in without_defaults(flat).items() if k != "seed" and not is_free(k)}
    digest = hashlib.blake2s(json.dumps([replay, same], sort_keys=True).encode(), digest_size=2).hexdigest()
    return f"{last_word(flat.get('data.class_path'))} {method_name(flat)}{replay} {digest}"
