"""Keeps the embeddings of some images during the pool pass."""

import io
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from numpy.typing import NDArray
from torch import Tensor

from msal_lightning.data.base import ActiveDataModule
from msal_lightning.data.loading import Batch
from msal_lightning.query.transfer import Transfer
from msal_lightning.runs.directory import RunDirectory
from msal_lightning.runs.embeddings import file_name
from msal_lightning.seeding import derive_seed, noise_of_rows
from msal_lightning.training.distributed import Ranks


class KeepEmbeddings(Callback):
    """Rides on the pool pass beside :class:`~msal_lightning.query.callback.Query`, and changes nothing about it.

    The queried images are known after the pass only, so until then every embedding stays in host memory: 2·D bytes for
    each image that the process looked at.

    The option may be switched on in a run that has begun; the rounds that were finished without it have no file.

    Args:
        limit: number of pool images to keep, those with the smallest noise: an image that is kept in a round is kept
            in all later ones until it is labeled. Queried images come on top. 0 keeps nothing.
        seed: the run's seed; keys the noise.
    """

    def __init__(self, limit: int, seed: int) -> None:
        self.limit = limit
        self._noise_seed = derive_seed(seed, "embeddings")
        self._sample = torch.empty(0, dtype=torch.int64)
        self._coming: list[Transfer] = []

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw the images of the pool; every process draws the same."""
        if not self.limit:
            return
        data = getattr(trainer, "datamodule", None)
        assert isinstance(data, ActiveDataModule)
        scored = data.scored
        self._sample = scored[noise_of_rows(self._noise_seed, scored).argsort(stable=True)[: self.limit]]

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
        if dataloader_idx == 0 and self.limit:
            largest = torch.finfo(torch.float16).max
            half = outputs["embeddings"].clamp(-largest, largest).half()
            predicted = outputs["logits"].argmax(dim=1)
            self._coming.append(Transfer({"index": outputs["index"], "embeddings": half, "predicted": predicted}))

    def save(self, run: RunDirectory, round: int, queried: Tensor, ranks: Ranks) -> None:
        """Write what was kept, before the record, so that a finished round has it; nothing without a pool pass.

        Args:
            run: the run directory.
            round: k.
            queried: (b,) int64, what the query selected.
            ranks: the processes that shared the pool pass; each gives its part to the first one.

        Raises:
            UserError: it cannot be written.
        """
        if not self.limit:
            return
        wanted = torch.cat([self._sample, queried])
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


def _pack(arrays: dict[str, NDArray[Any]]) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()
