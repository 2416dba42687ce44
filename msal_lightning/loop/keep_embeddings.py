"""Save the embeddings of some images during the pool pass."""

import io
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from numpy.typing import NDArray
from torch import Tensor

from msal_lightning.data.base import ActiveDataModule
from msal_lightning.data.batches.loading import Batch
from msal_lightning.query.transfer import Transfer
from msal_lightning.runs.directory import RunDirectory
from msal_lightning.runs.embeddings import file_name
from msal_lightning.seeding import derive_seed, noise_of_rows
from msal_lightning.training.distributed import Ranks


class KeepEmbeddings(Callback):
    """Collects embeddings during the pool pass of :class:`~msal_lightning.query.callback.Query`, without changing it.

    The queried images are known only after the pass, so until then every embedding stays in host memory: 2·D bytes for
    each image of the process.

    The option may be switched on between two commands; rounds that finished without it have no file.

    Args:
        limit: number of pool images whose embeddings are saved, in addition to the queried images; 0 saves nothing. The
            images have the smallest noise of the pool, so each one is saved in every round until it is labeled.
        seed: the run's seed, which determines the noise.
    """

    def __init__(self, limit: int, seed: int) -> None:
        self.limit = limit
        self._noise_seed = derive_seed(seed, "embeddings")
        self._sample = torch.empty(0, dtype=torch.int64)
        self._coming: list[Transfer] = []

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw the images of the pool; every process draws the same images."""
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
        """Copy embeddings of pool images to the host; the second loader, the labeled set, is ignored."""
        if dataloader_idx == 0 and self.limit:
            largest = torch.finfo(torch.float16).max
            half = outputs["embeddings"].clamp(-largest, largest).half()
            predicted = outputs["logits"].argmax(dim=1)
            self._coming.append(Transfer({"index": outputs["index"], "embeddings": half, "predicted": predicted}))

    def save(self, run: RunDirectory, round: int, queried: Tensor, ranks: Ranks) -> None:
        """Write the embeddings before the record, so that every finished round has them; nothing without a pool pass.

        Args:
            run: the run directory.
            round: k.
            queried: (b,) int64, indices that the query selected.
            ranks: the processes that shared the pool pass; each sends its part to the first one.

        Raises:
            UserError: the file cannot be written.
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
