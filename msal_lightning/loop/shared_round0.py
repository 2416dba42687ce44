"""Round 0, trained once for all runs that differ only in their query.

The fit depends on the images, the initial set, the model and the seed, not on the strategy, because every random stream
is keyed by seed, purpose and round.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule
from torch import Tensor

from msal_lightning.runs.changes import without_defaults
from msal_lightning.runs.config import flatten, is_free
from msal_lightning.training.checkpoint import AtomicCheckpointIO, load_checked


@dataclass(frozen=True)
class SharedFit:
    """A fit of round 0 from another run.

    Attributes:
        weights: weights of the model after the fit.
        seconds: duration of the fit in the other run.
        rows: log of each epoch.
    """

    weights: dict[str, Tensor]
    seconds: float
    rows: list[dict[str, float]]


def digest(config: Mapping[str, Any]) -> str:
    """Hash every config key that affects the round-0 fit. The split digest covers the initial set.

    Args:
        config: the whole resolved configuration.
    """
    flat = without_defaults(flatten(config))
    kept = {
        key: value
        for key, value in flat.items()
        if key == "loop.compile" or (key.split(".")[0] not in ("query", "loop") and not is_free(key))
    }
    return hashlib.blake2s(json.dumps(kept, sort_keys=True).encode(), digest_size=8).hexdigest()


def read_shared_fit(path: Path, origin: Mapping[str, Any]) -> SharedFit | str | None:
    """Read a shared fit of round 0 if it can be used.

    Args:
        path: file of the shared fit.
        origin: properties that identify the fit.

    Returns:
        The fit; or the reason why it cannot be used; None if there is no file.
    """
    if not path.exists():
        return None
    try:
        content = load_checked(path)
        theirs = content.pop("origin")
        fit = SharedFit(**content)
    except Exception as error:  # a damaged or foreign file may raise anything
        return f"is damaged or not from this program ({type(error).__name__})"
    theirs.setdefault("data", origin.get("data"))  # older versions did not store it
    if differs := [name for name in origin if theirs.get(name) != origin[name]]:
        return f"belongs to other runs (its {', '.join(differs)} differ)"
    return fit


def write_shared_fit(
    path: Path, origin: Mapping[str, Any], model: LightningModule, seconds: float, rows: list[dict[str, float]]
) -> str | None:
    """Share a fit of round 0 with other runs, atomically; an existing file stays.

    Returns:
        The reason why the file cannot be written; None on success.
    """
    if path.exists():
        return None
    disk = AtomicCheckpointIO()  # two runs may write the same fit at once
    content = {"origin": dict(origin), "weights": model.state_dict(), "seconds": seconds, "rows": rows}
    disk.save_checkpoint(content, path)
    return disk.failed
