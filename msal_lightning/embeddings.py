"""Embeddings of some images, kept round by round for the t-SNE figure."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from numpy.typing import NDArray
from torch import Tensor

from msal_lightning.data.base import ActiveDataModule
from msal_lightning.data.views import Batch
from msal_lightning.errors import UserError
from msal_lightning.io.archives import check_zip
from msal_lightning.ranks import Ranks
from msal_lightning.runs import RunDirectory
from msal_lightning.streams import derive_seed, noise_of_rows
from msal_lightning.transfer import Transfer

FOLDER = "embeddings"
"""Of a run directory; one file a round."""
FILES = (rf"{FOLDER}/[0-9]{{3,}}\.npz",)
"""Of a run directory, see :mod:`~msal_lightning.io.own_files`."""


@dataclass(frozen=True)
class Embeddings:
    """Of a round's model.

    Attributes:
        index: (n,) int64, dataset-absolute, ascending.
        embeddings: (n, D) float16, the input of the head.
        predicted: (n,) int64, the most probable class.
    """

    index: NDArray[np.int64]
    embeddings: NDArray[np.float16]
    predicted: NDArray[np.int64]


class KeepEmbeddings(Callback):
    """Rides on the pool pass beside :class:`~msal_lightning.query.Query`, and changes nothing about it.

    What is bought is known after the pass only, so until then every embedding stays in host memory: 2·D bytes for each
    image that the process looked at.

    The option may be switched on in a run that has begun; the rounds that were finished without it have no file.

    Args:
        limit: images of the pool to keep: those with the smallest noise, so that an image that is kept in a round is
            kept in all later ones until it is bought. What is bought comes on top.
        seed: the run's seed; keys the noise.
    """

    def __init__(self, limit: int, seed: int) -> None:
        self._limit = limit
        self._noise_seed = derive_seed(seed, "embeddings")
        self._sample = torch.empty(0, dtype=torch.int64)
        self._coming: list[Transfer] = []

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw the images of the pool; every process draws the same."""
        data = getattr(trainer, "datamodule", None)
        assert isinstance(data, ActiveDataModule)
        scored = data.scored
        self._sample = scored[noise_of_rows(self._noise_seed, scored).argsort(stable=True)[: self._limit]]

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Take what may be kept off the device; the labeled set, a second loader, is passed over."""
        if dataloader_idx == 0:
            largest = torch.finfo(torch.float16).max
            half = outputs["embeddings"].clamp(-largest, largest).half()
            predicted = outputs["logits"].argmax(dim=1)
            self._coming.append(Transfer({"index": outputs["index"], "embeddings": half, "predicted": predicted}))

    def save(self, run: RunDirectory, round: int, bought: Tensor, ranks: Ranks) -> None:
        """Write what was kept, before the record, so that a finished round has it; nothing without a pool pass.

        Args:
            run: the run directory.
            round: k.
            bought: (b,) int64, what the query chose.
            ranks: the processes that shared the pool pass; each gives its part to the first one.

        Raises:
            UserError: it cannot be written.
        """
        wanted = torch.cat([self._sample, bought])
        parts: list[dict[str, Tensor]] = []
        for transfer in self._coming:
            batch = transfer.wait()
            rows = torch.isin(batch["index"], wanted)
            parts.append({name: values[rows] for name, values in batch.items()})
        self._coming.clear()
        gathered = [part for of_rank in ranks.gather(parts) for part in of_rank]

        def write() -> None:
            if gathered:
                order = torch.cat([part["index"] for part in gathered]).argsort()
                arrays = {name: torch.cat([part[name] for part in gathered])[order].numpy() for name in gathered[0]}
                run.save_file(file_name(round), _pack(arrays))

        ranks.on_zero(write)


def file_name(round: int) -> str:
    """Where a run directory has the embeddings of round k."""
    return f"{FOLDER}/{round:03d}.npz"


def read_embeddings(folder: Path, round: int) -> Embeddings | None:
    """What a round kept; None where it kept nothing.

    Args:
        folder: the run directory.
        round: k.

    Raises:
        UserError: the file is damaged.
    """
    file = folder / file_name(round)
    if not file.exists():
        return None
    try:
        check_zip(file)
        with np.load(file, allow_pickle=False) as arrays:
            kept = Embeddings(arrays["index"], arrays["embeddings"], arrays["predicted"])
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):
        raise UserError(f"the embeddings '{file}' are damaged: delete the file to leave this round out") from None
    if not len(kept.index) == len(kept.embeddings) == len(kept.predicted):
        raise UserError(f"the embeddings '{file}' are damaged: delete the file to leave this round out")
    return kept


def _pack(arrays: dict[str, NDArray[Any]]) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()
