"""The file ``threshold.json`` of a run: a threshold for one class, and how it does on held-out and on test images."""

import hashlib
import json
import math
from pathlib import Path
from typing import Any

from msal_lightning.errors import RunError
from msal_lightning.inference.decision import Decision
from msal_lightning.io.atomic import write_atomically
from msal_lightning.io.json_files import read_json
from msal_lightning.runs.trained_model import Trained

FORMAT = 1


def write_threshold(trained: Trained, content: dict[str, Any]) -> Path:
    """Write the file, with the digest of the model that it belongs to.

    Args:
        trained: the model.
        content: plain JSON values: class, threshold and what was measured.
    """
    file = _file(trained)
    body = {"format": FORMAT, "round": trained.round, "model": model_digest(trained.file), **content}
    write_atomically(file, json.dumps(body, indent=1, ensure_ascii=False) + "\n")
    return file


def read_threshold(trained: Trained) -> dict[str, Any] | None:
    """Read the file of a model; None if there is none, or it belongs to another model.

    Raises:
        RunError: it is damaged.
    """
    file = _file(trained)
    if not file.exists():
        return None
    try:
        content: dict[str, Any] = read_json(file)
        fits = isinstance(content["class"], str) and math.isfinite(float(content["threshold"]))
    except (OSError, ValueError, KeyError, TypeError):
        fits = False
    if not fits:
        raise RunError(f"'{file}' is damaged: delete it, and choose the threshold again with `threshold`")
    return content if content.get("model") == model_digest(trained.file) else None


def require_decision(trained: Trained, class_names: tuple[str, ...]) -> Decision:
    """Return the rule of a model.

    Raises:
        RunError: no threshold was chosen for this model.
    """
    content = read_threshold(trained)
    if content is None or content["class"] not in class_names:
        raise RunError(
            f"expected a threshold that was chosen for '{trained.file.name}', found none in '{_file(trained)}': choose "
            f"it with `python -m msal_lightning threshold {trained.run.folder} --class NAME`"
        )
    return Decision(class_names.index(content["class"]), float(content["threshold"]))


def model_digest(file: Path) -> str:
    """Return a digest of a model's file."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def _file(trained: Trained) -> Path:
    return trained.run.folder / "threshold.json"
