"""Round 0 trained once for all runs that differ only in what they query.

Its fit depends on the images, the initial set, the model and the seed, not on the strategy: every stream is keyed by
seed, purpose and round.
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
    """A fit of round 0 as another run left it.

    Attributes:
        weights: of the model after it.
        seconds: that it took there.
        rows: what was logged at the end of each epoch.
    """

    weights: dict[str, Tensor]
    seconds: float
    rows: list[dict[str, float]]


def digest(config: Mapping[str, Any]) -> str:
    """Of the keys that alter the fit of round 0, but for the initial set, which the digest of the split tells.

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
    """Look whether a fit of round 0 can be taken over.

    Args:
        path: of the file.
        origin: what makes a fit this one.

    Returns:
        It; why it cannot be used; None where there is none.
    """
    if not path.exists():
        return None
    try:
        content = load_checked(path)
        theirs = content.pop("origin")
        fit = SharedFit(**content)
    except Exception as error:  # whatever a damaged or foreign file makes of itself
        return f"is damaged or not from this program ({type(error).__name__})"
    theirs.setdefault("data", origin.get("data"))  # older versions did not keep it
    if differs := [name for name in origin if theirs.get(name) != origin[name]]:
        return f"belongs to other runs (its {', '.join(differs)} differ)"
    return fit


def write_shared_fit(
    path: Path, origin: Mapping[str, Any], model: LightningModule, seconds: float, rows: list[dict[str, float]]
) -> str | None:
    """Leave a fit of round 0 for others, whole or not at all; a file that is there stays.

    Returns:
        Why it cannot be written; None where it can.
    """
    if path.exists():
        return None
    disk = AtomicCheckpointIO()  # two runs may write the same fit at once
    content = {"origin": dict(origin), "weights": model.state_dict(), "seconds": seconds, "rows": rows}
    disk.save_checkpoint(content, path)
    return disk.failed
