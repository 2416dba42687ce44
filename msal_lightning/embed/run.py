"""The order of events of ``embed``: claim the folder, compute shard after shard, then write labels and manifest."""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msal_lightning.data import ActiveDataModule
from msal_lightning.data.features.manifest import MANIFEST, read_manifest, write_text
from msal_lightning.data.features.source_images import path_from
from msal_lightning.data.fingerprint import FILE, digest_of, first_change, read_fingerprint, take_fingerprint, to_bytes
from msal_lightning.data.fingerprint import FILES as FINGERPRINT_FILES
from msal_lightning.data.labels import mark_of_all
from msal_lightning.embed.embedder import Embedder
from msal_lightning.embed.plan import Plan, check_same, machine_change
from msal_lightning.embed.rows import Rows
from msal_lightning.embed.shard import FILES as SHARD_FILES
from msal_lightning.embed.shard import WORK
from msal_lightning.embed.sharded_rows import ShardedRows
from msal_lightning.errors import DataError
from msal_lightning.io.atomic import atomic_file, write_atomically
from msal_lightning.io.csv_cells import lines, table
from msal_lightning.io.folder_mark import MARK
from msal_lightning.io.own_files import refuse_linked_folders, remove_own, remove_parts
from msal_lightning.io.terminal import say

LABELS, SKIPPED = "labels.csv", "skipped.csv"
_TABLES = (r"labels\.csv", r"skipped\.csv", r"manifest\.json")
FILES = (*SHARD_FILES, *FINGERPRINT_FILES, *_TABLES)
"""See :mod:`~msal_lightning.io.own_files`."""
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
                "folder: new images get a folder of their own, which `add` takes into a run"
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


class Embedding(ShardedRows):
    """The computation of one folder of features.

    Args:
        out: the folder, which belongs to this process.
        rows: the images.
        embedder: the model; None where others compute the shards.
        plan: how the features are computed.
    """

    if_not_finite = "set --precision to 32-true and --dtype to float32, with another --out, or choose another model"

    def __init__(self, out: Path, rows: Rows, embedder: Embedder | None, plan: Plan) -> None:
        super().__init__(out, rows, embedder, plan)
        self._images = rows

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
            rows = [{"path": self._images.name(one.row), "reason": one.reason} for one in skipped]
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
        columns, waiting = self._images.columns(), list[dict[str, str | int]]()
        with atomic_file(self.out / LABELS) as file:
            file.write(table([], columns).encode())
            for line in self._images.table(left_out):
                waiting.append(line)
                if len(waiting) == _LINES:
                    file.write(lines(waiting, columns).encode())
                    waiting.clear()
            file.write(lines(waiting, columns).encode())
