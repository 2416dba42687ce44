"""Embeddings of some images, saved in each round for the t-SNE figure."""

from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from msal_lightning.errors import RunError
from msal_lightning.io.archives import check_zip

FOLDER = "embeddings"
"""Folder in a run directory; it has one file per round."""
FILES = (rf"{FOLDER}/[0-9]{{3,}}\.npz",)
"""Patterns of these files, see :mod:`~msal_lightning.io.own_files`."""


@dataclass(frozen=True)
class Embeddings:
    """Embeddings of a round's model.

    Attributes:
        index: (n,) int64, dataset-absolute, ascending.
        embeddings: (n, D) float16, the input of the head.
        predicted: (n,) int64, the most probable class.
    """

    index: NDArray[np.int64]
    embeddings: NDArray[np.float16]
    predicted: NDArray[np.int64]


def file_name(round: int) -> str:
    """Return the path of the embeddings of round k, relative to the run directory."""
    return f"{FOLDER}/{round:03d}.npz"


def read_embeddings(folder: Path, round: int) -> Embeddings | None:
    """Read the embeddings of a round; None if it saved none.

    Args:
        folder: the run directory.
        round: k.

    Raises:
        RunError: the file is damaged.
    """
    file = folder / file_name(round)
    if not file.exists():
        return None
    try:
        check_zip(file)
        with np.load(file, allow_pickle=False) as arrays:
            kept = Embeddings(arrays["index"], arrays["embeddings"], arrays["predicted"])
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):
        raise RunError(f"the embeddings '{file}' are damaged: delete the file to leave this round out") from None
    if not len(kept.index) == len(kept.embeddings) == len(kept.predicted):
        raise RunError(f"the embeddings '{file}' are damaged: delete the file to leave this round out")
    return kept
