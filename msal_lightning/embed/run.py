"""The order of events of ``embed``: claim the folder, compute shard after shard, then write labels and manifest."""

import hashlib
import re
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from msal_lightning.data import ActiveDataModule
from msal_lightning.data.fingerprint import FILE, digest_of, first_change, read_fingerprint, take_fingerprint, to_bytes
from msal_lightning.data.fingerprint import FILES as FINGERPRINT_FILES
from msal_lightning.data.labels import mark_of_all
from msal_lightning.data.manifest import MANIFEST, read_manifest, write_text
from msal_lightning.data.source_images import path_from
from msal_lightning.embed.embedder import Embedder
from msal_lightning.embed.plan import Plan, check_same, machine_change
from msal_lightning.embed.progress import EmbedProgress
from msal_lightning.embed.reading import Batch, read_batches
from msal_lightning.embed.rows import Rows
from msal_lightning.embed.shard import FILES as SHARD_FILES
from msal_lightning.embed.shard import WORK, Piece, Shard, Skipped
from msal_lightning.errors import DataError
from msal_lightning.io.atomic import atomic_file, write_atomically
from msal_lightning.io.csv_cells import lines, table
from msal_lightning.io.folder_mark import MARK
from msal_lightning.io.kill_points import kill_point
from msal_lightning.io.own_files import refuse_linked_folders, remove_own, remove_parts
from msal_lightning.io.terminal import say

LABELS, SKIPPED = "labels.csv", "skipped.csv"
_TABLES = (r"labels\.csv", r"skipped\.csv", r"manifest\.json")
FILES = (*SHARD_FILES, *FINGERPRINT_FILES, *_TABLES)
"""See :mod:`~msal_lightning.io.own_files`."""
_SECONDS = 60.0  # of work that a kill may cost
_LINES = 10_000  # of labels.csv that are written at once


def describe_source(data: ActiveDataModule, out: Path) -> dict[str, Any]:
    """Look at all images; an unfinished or finished folder knows them.

    Args:
        data: data module after ``setup``.
        out: the folder of the features.

    Returns:
        Name of the dataset, its root from here, number of its images, digests of images and labels.

    Raises:
        DataError: images or labels have changed since the folder was begun.
    """
    before = read_manifest(out)
    known = out / FILE
    if before is not None:
        try:
            change = first_change(read_fingerprint(known), data)
        except (OSError, ValueError) as error:
            raise DataError(f"cannot read '{known}' ({error}): set --out to another folder") from None
        if change is not None:
            raise DataError(
                f"the images have changed since '{out}' was begun ({change}): bring them back, or set --out to another "
                "folder, because new images cannot be appended yet"
            )
        return {**before["source"], "labels": _labels_of(data)}
    prints = take_fingerprint(data)
    write_atomically(known, to_bytes(prints))
    digests = {"digest": digest_of(prints), "labels": _labels_of(data)}
    root = path_from(out, data.root)
    return {"name": data.name, "root": root, "images": len(data.labels) + len(data.test.label), **digests}


def _labels_of(data: ActiveDataModule) -> str:
    """Hash the names of the classes and the labels, the unknown ones too."""
    marks = (*data.class_names, data.hidden_labels.mark_of_all(), mark_of_all(data.test.label))
    return hashlib.blake2b("\0".join(marks).encode(), digest_size=16).hexdigest()


class Embedding:
    """The computation of one folder of features.

    Args:
        out: the folder, which belongs to this process.
        rows: the images.
        embedder: the model; None where others compute the shards.
        plan: how the features are computed.
    """

    def __init__(self, out: Path, rows: Rows, embedder: Embedder | None, plan: Plan) -> None:
        self.out, self._rows, self._embedder, self._plan = out, rows, embedder, plan
        starts = range(0, len(rows), plan.rows_per_shard)
        self.shards = [
            Shard(out, k, name, start, start + size)
            for k, (start, (name, size)) in enumerate(zip(starts, plan.shards(len(rows)).items(), strict=True))
        ]

    def begin(self, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """Write the manifest, or check the one that is there.

        Returns:
            The manifest in the folder.

        Raises:
            ConfigError: the folder was begun with another model or other options.
        """
        refuse_linked_folders(self.out, FILES)
        remove_parts(self.out, [*FILES, re.escape(MARK)])
        before = read_manifest(self.out)
        if before is not None:
            check_same(before, manifest, self.out)
            if not before["finished"] and (changed := machine_change(before, manifest)):
                say(f"(this folder was begun with {changed}: features may differ in their last digits)")
            return before
        write_atomically(self.out / MANIFEST, write_text(dict(manifest)))
        return dict(manifest)

    def compute(self, shard: Shard, check: Callable[[], None], progress: EmbedProgress) -> None:
        """Compute the rows of one shard that are not there yet.

        Args:
            shard: one of :attr:`shards`.
            check: raises if the command shall end.
            progress: is told of each batch.

        Raises:
            DataError: an image cannot be read, and the plan does not skip it; or features are not finite.
        """
        embedder = self._embedder
        assert embedder is not None
        (self.out / WORK).mkdir(exist_ok=True)
        first = shard.done()
        progress.advance(first - shard.start, computed=False)
        piece, saved = Piece(first, first), time.monotonic()
        try:
            with closing(self._batches(embedder, first, shard.stop)) as batches:
                for batch, features in embedder.run(batches):
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

    def _batches(self, embedder: Embedder, start: int, stop: int) -> Generator[Batch]:
        pin = embedder.device.type == "cuda"
        return read_batches(self._rows, start, stop, self._plan.batch_size, self._plan.workers, pin)

    def _add(self, piece: Piece, batch: Batch, features: Tensor) -> None:
        """Append the features of a batch, without damaged images."""
        if batch.damaged and not self._plan.skips:
            raise DataError(next(iter(batch.damaged.values())))
        rows = torch.arange(batch.start, batch.start + len(features))
        fine = torch.tensor([row not in batch.damaged for row in rows.tolist()])
        finite = features.isfinite().all(1) | ~fine
        if not bool(finite.all()):
            name = self._rows.name(int(rows[~finite][0]))
            raise DataError(
                f"expected finite features, got NaN or infinity for '{name}': set --precision to 32-true and --dtype "
                "to float32, with another --out, or choose another model"
            )
        piece.parts.append(features[fine].numpy())
        piece.skipped += [Skipped(row, reason) for row, reason in sorted(batch.damaged.items())]
        piece.stop = batch.start + len(features)

    def finish(self, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """Write the labels and the list of images without features, then the finished manifest.

        Returns:
            The finished manifest.

        Raises:
            DataError: no image could be read.
        """
        results = [shard.result() or (0, []) for shard in self.shards]
        count, skipped = sum(rows for rows, _ in results), [one for _, some in results for one in some]
        if not count:
            raise DataError(f"expected images that can be read, got none of {len(skipped)} ({skipped[0].reason})")
        self._write_labels({one.row for one in skipped})
        if skipped:
            rows = [{"path": self._rows.name(one.row), "reason": one.reason} for one in skipped]
            write_atomically(self.out / SKIPPED, table(rows))
        shards = {shard.name: rows for shard, (rows, _) in zip(self.shards, results, strict=True)}
        done = {**manifest, "finished": True, "shards": shards, "rows": count, "skipped": len(skipped)}
        write_atomically(self.out / MANIFEST, write_text(done))
        self.clean()
        return done

    def clean(self) -> None:
        """Remove what a finished folder does not need."""
        remove_own(self.out, [pattern for pattern in SHARD_FILES if pattern.startswith(WORK)])

    def _write_labels(self, left_out: set[int]) -> None:
        columns, waiting = self._rows.columns(), list[dict[str, str | int]]()
        with atomic_file(self.out / LABELS) as file:
            file.write(table([], columns).encode())
            for line in self._rows.table(left_out):
                waiting.append(line)
                if len(waiting) == _LINES:
                    file.write(lines(waiting, columns).encode())
                    waiting.clear()
            file.write(lines(waiting, columns).encode())


def compute_here(embedding: Embedding, check: Callable[[], None], progress: EmbedProgress) -> None:
    """Compute all shards that are not finished, in this process.

    Args:
        embedding: the shards.
        check: raises if the command shall end.
        progress: is told of each batch.

    Raises:
        DataError: see :meth:`Embedding.compute`.
    """
    for shard in embedding.shards:
        if shard.result() is None:
            embedding.compute(shard, check, progress)
        else:
            progress.advance(shard.stop - shard.start, computed=False)
