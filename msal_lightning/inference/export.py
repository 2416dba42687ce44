"""The order of events of ``export``: write the file beside its place, compare it, then move it in with its card."""

import json
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from msal_lightning.errors import ConfigError
from msal_lightning.inference.card import make_card
from msal_lightning.inference.card_page import write_page
from msal_lightning.inference.formats import FILES, Run, example, write
from msal_lightning.inference.ready import ReadyModel
from msal_lightning.io.atomic import write_atomically
from msal_lightning.io.folder_mark import claim_folder
from msal_lightning.io.own_files import remove_parts

TOLERANCE = 1e-4
"""Largest difference that is allowed between outputs of the file and of the model."""
_COUNTS = (5, 1)  # images of a batch
_PART = ".export-"


@dataclass(frozen=True)
class Exported:
    """Files of one command.

    Attributes:
        file: the model.
        page: the card in Markdown; the same in JSON is beside it.
        difference: see :data:`TOLERANCE`.
    """

    file: Path
    page: Path
    difference: float


def export_model(ready: ReadyModel, kind: str, out: Path) -> Exported:
    """Write a model and its card.

    Args:
        ready: the model.
        kind: torch-export, onnx or state-dict.
        out: folder; files of the same format are replaced.

    Raises:
        ConfigError: the model cannot be written in this format, or the folder cannot be written.
        RunError: the folder has files of another program.
    """
    try:
        claim_folder(out, "export", "--out")
        remove_parts(out, [r"card-.*", re.escape(FILES[kind])])
        with tempfile.TemporaryDirectory(dir=out, prefix=_PART) as place:
            run = write(ready, kind, Path(place) / FILES[kind])
            difference = _compare(ready, kind, run)
            for file in sorted(Path(place).iterdir()):  # a file of more than 2 GB has a second one for its weights
                file.replace(out / file.name)
        card = make_card(ready, kind, difference)
        page = out / f"card-{kind}.md"
        write_atomically(page.with_suffix(".json"), json.dumps(card, indent=1, ensure_ascii=False) + "\n")
        write_atomically(page, write_page(card))
    except OSError as error:
        raise ConfigError(
            f"cannot write into --out '{out}' ({error.strerror or error}): set it to a folder of yours"
        ) from None
    return Exported(out / FILES[kind], page, difference)


@torch.inference_mode()
def _compare(ready: ReadyModel, kind: str, run: Run) -> float:
    """Return the largest difference of all outputs for batches of several sizes.

    Raises:
        ConfigError: it is too large.
    """
    largest = 0.0
    for count in _COUNTS:
        images = example(ready, count)
        wanted: Any = ready.network(images)
        pairs = zip(run(images), wanted, strict=True)
        largest = max([largest, *(float((found - value).abs().max()) for found, value in pairs)])
    if not largest <= TOLERANCE:
        raise ConfigError(
            f"expected the file of --format {kind} to compute what the model of the run computes, got outputs that "
            f"differ by {largest:.2g}: choose another format"
        )
    return largest
