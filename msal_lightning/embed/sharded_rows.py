"""Rows that a model computes from images, shard after shard; a kill costs the rows since the last piece."""

import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from msal_lightning.embed.plan import Plan
from msal_lightning.embed.progress import EmbedProgress
from msal_lightning.embed.reading import Batch
from msal_lightning.embed.shard import WORK, Piece, Shard, Skipped
from msal_lightning.errors import DataError
from msal_lightning.io.kill_points import kill_point

_SECONDS = 60.0  # of work that a kill may cost


class Source(Protocol):
    """Images, or other rows, in one order."""

    def __len__(self) -> int:
        """Number of rows."""

    def name(self, row: int) -> str:
        """Return the path of an image, or the number of a row without a file."""

    def batches(self, start: int, stop: int, size: int, workers: int, pin: bool) -> Generator[Batch]:
        """Yield batches of rows.

        Args:
            start: the first row.
            stop: the row after the last one.
            size: B; the last batch may be smaller.
            workers: number of threads.
            pin: put rows into memory from which a GPU copies at once.
        """


class Runner(Protocol):
    """A model on a device."""

    device: torch.device

    def run(self, batches: Iterable[Batch]) -> Iterator[tuple[Batch, Tensor]]:
        """Yield the rows of each batch, (B, D) in memory of the host."""


class ShardedRows:
    """The computation of one folder of rows.

    Args:
        out: the folder, which belongs to this process.
        rows: the images.
        runner: the model; None where others compute the shards.
        plan: how the rows are computed.

    Attributes:
        values: name of what the model gives.
        if_not_finite: remedy if the model gives NaN.
    """

    values: str = "features"
    if_not_finite: str = "choose another model"

    def __init__(self, out: Path, rows: Source, runner: Runner | None, plan: Plan) -> None:
        self.out, self._rows, self._runner, self._plan = out, rows, runner, plan
        starts = range(0, len(rows), plan.rows_per_shard)
        self.shards = [
            Shard(out, k, name, start, start + size)
            for k, (start, (name, size)) in enumerate(zip(starts, plan.shards(len(rows)).items(), strict=True))
        ]

    def compute(self, shard: Shard, check: Callable[[], None], progress: EmbedProgress) -> None:
        """Compute the rows of one shard that are not there yet.

        Args:
            shard: one of :attr:`shards`.
            check: raises if the command shall end.
            progress: is told of each batch.

        Raises:
            DataError: an image cannot be read, and the plan does not skip it; or features are not finite.
        """
        runner = self._runner
        assert runner is not None
        (self.out / WORK).mkdir(exist_ok=True)
        first = shard.done()
        progress.advance(first - shard.start, computed=False)
        piece, saved = Piece(first, first), time.monotonic()
        try:
            with closing(self._batches(runner, first, shard.stop)) as batches:
                for batch, features in runner.run(batches):
                    self._add(piece, batch, features)
                    progress.advance(len(features))
                    kill_point("embed batch")
                    check()
                    if time.monotonic() - saved >= _SECONDS and piece.stop < shard.stop:
                        shard.save(piece)
                        piece, saved = Piece(piece.stop, piece.stop), time.monotonic()
        except BaseException:
            if piece.parts:
                shard.save(piece)
            raise
        shard.finish(piece)

    def _batches(self, runner: Runner, start: int, stop: int) -> Generator[Batch]:
        pin = runner.device.type == "cuda"
        return self._rows.batches(start, stop, self._plan.batch_size, self._plan.workers, pin)

    def _add(self, piece: Piece, batch: Batch, features: Tensor) -> None:
        """Append the features of a batch, without damaged images."""
        if batch.damaged and not self._plan.skips:
            raise DataError(next(iter(batch.damaged.values())))
        rows = torch.arange(batch.start, batch.start + len(features))
        fine = torch.tensor([row not in batch.damaged for row in rows.tolist()])
        finite = features.isfinite().all(1) | ~fine
        if not bool(finite.all()):
            name = self._rows.name(int(rows[~finite][0]))
            raise DataError(f"expected finite {self.values}, got NaN or infinity for '{name}': {self.if_not_finite}")
        piece.parts.append(features[fine].numpy())
        piece.skipped += [Skipped(row, reason) for row, reason in sorted(batch.damaged.items())]
        piece.stop = batch.start + len(features)


def compute_here(rows: ShardedRows, check: Callable[[], None], progress: EmbedProgress) -> None:
    """Compute all shards that are not finished, in this process.

    Args:
        rows: the shards.
        check: raises if the command shall end.
        progress: is told of each batch.

    Raises:
        DataError: see :meth:`ShardedRows.compute`.
    """
    for shard in rows.shards:
        if shard.result() is None:
            rows.compute(shard, check, progress)
        else:
            progress.advance(shard.stop - shard.start, computed=False)
