"""Predictions for new images in a CSV file: computed piece by piece, so that a kill costs a minute, then written."""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from msal_lightning.embed.plan import Plan
from msal_lightning.embed.progress import EmbedProgress
from msal_lightning.embed.shard import FILES as SHARD_FILES
from msal_lightning.embed.shard import Skipped
from msal_lightning.embed.sharded_rows import Runner, ShardedRows, compute_here
from msal_lightning.errors import ConfigError, DataError, RunError
from msal_lightning.inference.decision import Decision
from msal_lightning.inference.sources import NewImages
from msal_lightning.io.atomic import atomic_file, write_atomically
from msal_lightning.io.csv_cells import lines, table
from msal_lightning.io.folder_mark import MARK, claim_folder
from msal_lightning.io.json_files import read_json
from msal_lightning.io.kill_points import kill_point
from msal_lightning.io.lock import DirectoryLock
from msal_lightning.io.own_files import refuse_linked_folders, remove_own, remove_parts

_PLAN = "plan.json"
_FILES = (*SHARD_FILES, r"plan\.json", re.escape(MARK), "lock")
_LINES = 10_000  # that are written at once


@dataclass(frozen=True)
class PredictionFiles:
    """The files of one command.

    Attributes:
        table: the CSV file.
        with_embeddings: whether the embeddings are written, too.
    """

    table: Path
    with_embeddings: bool = False

    @property
    def embeddings(self) -> Path:
        """(n, D) float32, one row for each line of the CSV file."""
        return self.table.with_suffix(".npy")

    @property
    def skipped(self) -> Path:
        """CSV file with the images that cannot be read."""
        return self.table.with_name(f"{self.table.stem}.skipped.csv")

    @property
    def work(self) -> Path:
        """Folder of the results so far."""
        return self.table.with_name(f"{self.table.name}.unfinished")

    def refuse_existing(self) -> None:
        """Refuse to overwrite files, unless a killed command has just written them.

        Raises:
            ConfigError: a file exists.
        """
        if self.work.exists():
            return
        for file in (self.table, self.skipped, *([self.embeddings] if self.with_embeddings else [])):
            if file.exists():
                raise ConfigError(f"'{file}' exists already: delete it, or set --out to another file")


@dataclass
class Predicted:
    """Counts of the results.

    Attributes:
        classes: number of images of each predicted class, by name.
        skipped: images that cannot be read, with the reasons.
        rate: images per second.
    """

    classes: Counter[str] = field(default_factory=Counter)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    rate: float = 0.0


class Predictions(ShardedRows):
    """The rows of one command: probabilities, and embeddings on request.

    Args:
        files: where they go.
        images: the new images.
        runner: the model.
        plan: batch size, precision, and number of workers.
        class_names: one name for each class.
        decision: the rule for a rare class; None takes the most probable class.
    """

    values = "probabilities"
    if_not_finite = "choose a model of another round, because this one has diverged"

    def __init__(
        self,
        files: PredictionFiles,
        images: NewImages,
        runner: Runner,
        plan: Plan,
        class_names: tuple[str, ...],
        decision: Decision | None = None,
    ) -> None:
        super().__init__(files.work, images, runner, plan)
        self._files, self._images, self._names, self._decision = files, images, class_names, decision

    def run(
        self, settings: dict[str, Any], all_probabilities: bool, check: Callable[[], None], progress: EmbedProgress
    ) -> Predicted:
        """Compute what the folder of the results so far lacks, write the files, and remove the folder.

        Args:
            settings: plain values that a resumed command must share.
            all_probabilities: write one column for each class.
            check: raises if the command shall end.
            progress: is told of each batch.

        Raises:
            ConfigError: an interrupted command had other settings, or the file system refuses to write.
            DataError: no image can be read.
        """
        lock = DirectoryLock(self.out / "lock", "--out")
        try:
            claim_folder(self.out, "set of predictions", "--out")
            lock.acquire()
            self._begin(settings)
            compute_here(self, check, progress)
            found = self._write(all_probabilities)
            found.rate = progress.rate
            remove_own(self.out, _FILES)
            if self.out.exists() and not any(self.out.iterdir()):
                self.out.rmdir()
        except OSError as error:
            raise ConfigError(
                f"cannot write --out '{self._files.table}' ({error.strerror or error}): set it to a file in a "
                "folder of yours"
            ) from None
        finally:
            lock.close()
        return found

    def _begin(self, settings: dict[str, Any]) -> None:
        refuse_linked_folders(self.out, _FILES)
        remove_parts(self.out, _FILES)
        file = self.out / _PLAN
        now = json.loads(json.dumps(settings))
        if not file.exists():
            write_atomically(file, json.dumps(now, indent=1) + "\n")
            return
        try:
            before = read_json(file)
            different = [key for key in now if before.get(key) != now[key]]
        except (ValueError, AttributeError):
            raise RunError(f"'{file}' is damaged: delete the folder, and the command starts anew") from None
        if different:
            raise ConfigError(
                f"expected the {' and '.join(different)} with which '{self.out}' was begun, got others: repeat that "
                "command, or delete the folder to start anew"
            )

    def _write(self, all_probabilities: bool) -> Predicted:
        """Write embeddings, the list of unreadable images, and last the table, which marks the end."""
        found = Predicted()
        results = [shard.result() or (0, []) for shard in self.shards]
        skipped = [one for _, some in results for one in some]
        found.skipped = [(self._images.name(one.row), one.reason) for one in skipped]
        if not sum(count for count, _ in results):
            raise DataError(f"expected images that can be read, got none of {len(skipped)} ({skipped[0].reason})")
        self._files.table.parent.mkdir(parents=True, exist_ok=True)
        if self._files.with_embeddings:
            self._write_embeddings(sum(count for count, _ in results))
        if skipped:
            rows = [{self._images.column: name, "reason": reason} for name, reason in found.skipped]
            write_atomically(self._files.skipped, table(rows))
        columns = [self._images.column, "class", "probability"]
        columns += [f"p_{name}" for name in self._names] if all_probabilities else []
        with atomic_file(self._files.table) as file:
            file.write(table([], columns).encode())
            for rows in self._tables(results, columns[3:], found):
                file.write(lines(rows, columns).encode())
        kill_point("predictions written")
        return found

    def _write_embeddings(self, count: int) -> None:
        with atomic_file(self._files.embeddings) as file:
            width = next(part.shape[1] for part in self._parts()) - len(self._names)
            about = {"descr": "<f4", "fortran_order": False, "shape": (count, width)}
            np.lib.format.write_array_header_1_0(file, about)
            for part in self._parts():
                file.write(np.ascontiguousarray(part[:, len(self._names) :], dtype="<f4").data)

    def _parts(self) -> Iterator[NDArray[np.float32]]:
        """Yield the rows of all shards, some thousand at a time."""
        for shard in self.shards:
            if shard.file.exists():
                values = np.load(shard.file, mmap_mode="r", allow_pickle=False)
                yield from (values[start : start + _LINES] for start in range(0, len(values), _LINES))

    def _tables(
        self, results: list[tuple[int, list[Skipped]]], columns: list[str], found: Predicted
    ) -> Iterator[list[dict[str, Any]]]:
        """Yield lines of the table, and count the classes."""
        left_out = {one.row for _, some in results for one in some}
        kept = (row for shard in self.shards for row in range(shard.start, shard.stop) if row not in left_out)
        for part in self._parts():
            probabilities = part[:, : len(self._names)]
            rows = []
            chosen = probabilities.argmax(1) if self._decision is None else self._decision.classes(probabilities)
            for best, values, row in zip(chosen.tolist(), probabilities, kept, strict=False):
                name = self._names[best]
                found.classes[name] += 1
                more = {column: f"{value:.6f}" for column, value in zip(columns, values.tolist(), strict=False)}
                line = {self._images.column: self._images.name(row), "class": name}
                rows.append({**line, "probability": f"{float(values[best]):.6f}", **more})
            yield rows
