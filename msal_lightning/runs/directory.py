"""The run directory: the only writer of a run's files."""

import itertools
import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import yaml

from msal_lightning.errors import RunError, UserError
from msal_lightning.io.atomic import write_atomically
from msal_lightning.io.folder_mark import MARK, check_folder, read_mark, write_mark
from msal_lightning.io.kill_points import kill_point
from msal_lightning.io.lock import DirectoryLock
from msal_lightning.io.own_files import others, refuse_linked_folders, remove_own, remove_parts
from msal_lightning.io.terminal import say
from msal_lightning.io.yaml_files import read_yaml
from msal_lightning.oracles.base import LabelingBatch
from msal_lightning.runs.amendments import FILES as AMENDMENT_FILES
from msal_lightning.runs.amendments import Amendments, read_amendments
from msal_lightning.runs.changes import changed, gone, not_written, without_defaults
from msal_lightning.runs.config import PLACES, flatten, is_free, say_changed
from msal_lightning.runs.moved_names import present
from msal_lightning.runs.pending import (
    BATCH_FILES,
    INITIAL,
    PENDING_FILES,
    PendingRequest,
    all_pending,
    open_batches,
    pending_file,
    read_pending,
    round_name,
    write_pending,
)
from msal_lightning.runs.records import (
    FORMAT,
    RECORD_NAME,
    RoundRecord,
    digest_of,
    read_record,
    read_records,
    record_body,
)
from msal_lightning.runs.signature import FILE as SIGNATURE_FILE
from msal_lightning.runs.signature import sign
from msal_lightning.runs.table_files import TableFiles

if TYPE_CHECKING:
    from lightning.pytorch import Trainer

_CHECKPOINT = r"(round-[0-9]{3,}|fit)\.ckpt"
_REQUEUED = r"hpc_ckpt_[0-9]+\.ckpt"  # Lightning saves this file before SLURM requeues a job
_FILES = (  # files of a run, see own_files; other modules declare their own
    r"config\.yaml",
    r"curve\.csv",
    r"per_class\.csv",
    r"ledger\.csv",
    r"threshold\.json",
    rf"rounds/{RECORD_NAME}",
    rf"checkpoints/{_CHECKPOINT}",
    _REQUEUED,
    SIGNATURE_FILE,
    *PENDING_FILES,
    *AMENDMENT_FILES,
)
_STAY = (re.escape(MARK), "lock")


class RunDirectory:
    """The folder of one run; nothing is written before :meth:`open`.

    Args:
        path: folder of the run; created if missing.
        config: the whole resolved configuration, plain YAML values.
        overwrite: remove the files of a former run.

    Attributes:
        keep_checkpoints: finished rounds whose models stay: last, all or none.
        notes: notes of :meth:`open` for the user.
        written_by_others: patterns of files that other modules write, see :mod:`~msal_lightning.io.own_files`.
        left: files that ``overwrite`` did not remove, because no run writes files with these names.
        reopened: record of a round that was the last one before the run was extended; its model makes a query now.
    """

    def __init__(self, path: str | Path, config: Mapping[str, Any] | None = None, overwrite: bool = False) -> None:
        self.path = Path(path)
        self.config: dict[str, Any] = present(config or {})
        self.overwrite = overwrite
        self.keep_checkpoints: Literal["last", "all", "none"] = "last"
        self.written_by_others: Sequence[str] = ()
        self.left: list[str] = []
        self.reopened: RoundRecord | None = None
        self._lock = DirectoryLock(self.path / "lock")
        self._records: list[RoundRecord] = []
        self._tables = TableFiles(self.path, lambda: self.amendments)
        self.notes: list[str] = []

    def open(self) -> list[RoundRecord]:
        """Create the folder or read the state of an earlier run, and lock it until :meth:`close`.

        Returns:
            The records of all finished rounds, in order, without the one that is :attr:`reopened`.

        Raises:
            RunError: the folder belongs to another configuration, is no run directory, is not writable or is in use; or
                a record or an amendment is damaged, changed by hand or missing.
        """
        try:
            is_new = check_folder(self.path, "run", "run_dir", _holds_rounds)
            self.path.mkdir(parents=True, exist_ok=True)
            if is_new:  # the first file, so that a kill leaves no folder that is refused later
                write_mark(self.path, "run")
            refuse_linked_folders(self.path, self._patterns)
            self._lock.acquire()
            if self.overwrite:
                self._clear()
            remove_parts(self.path, (*self._patterns, *_STAY))
            remove_own(self.path, [_REQUEUED])  # Lightning would load it into every later round
            records = self._read_records()
            if changed := self.changed_keys():
                self._refuse_or_replace(changed, records)
            write_mark(self.path, "run")  # also marks a folder of a version without marks
            self._say_unknown(records)
            if not (self.path / "config.yaml").exists():
                write_atomically(self.path / "config.yaml", yaml.safe_dump(self.config, sort_keys=False))
            if why := sign(self.path, self.config):
                say(f"(the run is not signed, {why}: `query` and `replay` of it need --trust for your own classes)")
            (self.path / "rounds").mkdir(exist_ok=True)
            if records:  # the last run may have ended between its last record and the derived files
                self.derive_tables()
                self._drop_pending(len(records))
                self.drop_checkpoints(records[-1].round, self.fit_checkpoint, self.model_file(len(records)))
            return list(records)
        except OSError as error:
            self.close()
            raise RunError(
                f"cannot write run_dir '{self.path}' ({error.strerror or error}): set it to a folder that you can write"
            ) from None
        except UserError:
            self.close()
            raise

    def _say_unknown(self, records: list[RoundRecord]) -> None:
        """Name what the rounds so far may have had another value of."""
        now = flatten(self.config)
        unknown = without_defaults({key: now[key] for key in sorted(not_written(self.written_config(), now))})
        if records and unknown:
            said = ", ".join(f"{key} {value}" for key, value in unknown.items())
            self.notes.append(f"(config.yaml is of a version that did not keep these options; from here on: {said})")

    def _read_records(self) -> list[RoundRecord]:
        if self.amendments != self._read_amendments():
            raise RunError(f"the run in run_dir '{self.path}' was amended at this moment: start the same command again")
        records = read_records(self.path)
        self.reopened = self.amendments.reopened(records)
        self._records = records[:-1] if self.reopened else records
        return self._records

    @cached_property
    def amendments(self) -> Amendments:
        """The changes that a person made to the run."""
        return self._read_amendments()

    def _read_amendments(self) -> Amendments:
        return Amendments() if self.overwrite else read_amendments(self.path)

    @property
    def records(self) -> Sequence[RoundRecord]:
        """The records of the finished rounds after :meth:`open`, with the one that is :attr:`reopened`."""
        return [*self._records, self.reopened] if self.reopened else self._records

    def first_record(self) -> RoundRecord | None:
        """Return the record of round 0 before :meth:`open`; None if it is missing, damaged or to be overwritten."""
        file = self.path / "rounds" / "000.json"
        if self.overwrite or not file.is_file():
            return None
        try:
            return read_record(file)
        except UserError:
            return None

    def _refuse_or_replace(self, changed: dict[str, tuple[Any, Any]], records: list[RoundRecord]) -> None:
        if records:
            raise RunError(
                f"run_dir '{self.path}' belongs to another configuration ({say_changed(changed)}): "
                "choose another run_dir, or start anew with --overwrite"
            )
        asked = [request.name for request in all_pending(self.path)]
        if asked == [INITIAL] and not any(_decides_initial_set(key) for key in changed):
            write_atomically(self.path / "config.yaml", yaml.safe_dump(self.config, sort_keys=False))
            self.notes.append(f"(the labels of the initial set stay: {say_changed(changed)} does not change it)")
            return
        if asked or any((self.path / "queries").glob("*")):
            raise RunError(
                f"run_dir '{self.path}' has a pending labeling request of another configuration "
                f"({say_changed(changed)}): choose another run_dir, or start anew with --overwrite, which renames the "
                "folder queries"
            )
        # no round was finished, so its files are useless now; W&B's folders are not
        remove_own(self.path, [pattern for pattern in self._patterns if not pattern.startswith("wandb/")])

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.name

    def close(self) -> None:
        """Release the lock."""
        with suppress(OSError):
            self._tables.sync()
        self._lock.close()

    @property
    def config_digest(self) -> str:
        """Hash of all keys that affect results; options that a new version adds or writes do not change it."""
        now = flatten(self.config)
        unknown = not_written(self.written_config(), now)
        known = {key: value for key, value in now.items() if key not in unknown}
        return digest_of({key: v for key, v in without_defaults(known).items() if not is_free(key)})

    @property
    def former_config_digest(self) -> str:
        """The digest by which older versions knew their fits: of config.yaml as it is, with defaults."""
        written = flatten(read_yaml(self.path / "config.yaml"))
        return digest_of({key: value for key, value in written.items() if not is_free(key)})

    @property
    def fit_checkpoint(self) -> Path:
        """The checkpoint of the fit in progress."""
        return self.path / "checkpoints" / "fit.ckpt"

    def commit(self, record: RoundRecord) -> None:
        """Write the record of a round atomically, then the derived files; the record makes the round final.

        Raises:
            RunError: the record or a derived file cannot be written. Without the record the round is not final, and its
                fit is kept; with the record, the next start writes the derived files.
        """
        body = record_body(record)
        text = json.dumps({"format": FORMAT, "digest": digest_of(body), **body}, indent=1)
        try:
            write_atomically(self.path / "rounds" / f"{record.round:03d}.json", text)
            self._records = [*self._records[: record.round], record]
            kill_point("derive tables")
            self._tables.add(self._records)
            kill_point("drop requests")
            self._drop_pending(record.round + 1)
            kill_point("drop checkpoints")
            self.drop_checkpoints(record.round)
        except OSError as error:
            raise RunError(self._cannot_write(f"the record of round {record.round}", error.strerror)) from None

    def save_model(self, trainer: "Trainer", round: int, needed: bool = False) -> None:
        """Save the weights of a round atomically; all processes of a run take part.

        Args:
            trainer: the round's Trainer.
            round: k.
            needed: save the weights even if ``keep_checkpoints`` is none, because the round is not recorded yet.

        Raises:
            RunError: the weights cannot be written.
        """
        if self.keep_checkpoints == "none" and not needed:
            return
        file = self.model_file(round)
        trainer.save_checkpoint(file, weights_only=True)
        if failed := getattr(trainer.strategy.checkpoint_io, "failed", None):
            raise RunError(self._cannot_write(f"'{file.relative_to(self.path)}'", failed))

    def save_file(self, name: str, content: bytes) -> None:
        """Write another file of a round atomically, before the record; an existing file is overwritten.

        Args:
            name: path below the run directory, in one of the run's own folders.
            content: content of the file.

        Raises:
            RunError: the file cannot be written.
        """
        file = self.path / name
        try:
            file.parent.mkdir(exist_ok=True)
            write_atomically(file, content)
        except OSError as error:
            raise RunError(self._cannot_write(f"'{name}'", error.strerror)) from None

    def model_file(self, round: int) -> Path:
        """Return the checkpoint path of a round's model."""
        return self.path / "checkpoints" / f"round-{round:03d}.ckpt"

    def drop_checkpoints(self, round: int, *but: Path) -> None:
        """Remove checkpoints that ``keep_checkpoints`` does not keep, and the fit in progress.

        Args:
            round: the last finished round.
            but: further files to keep.
        """
        keep = {"all": r"round-[0-9]{3,}\.ckpt", "last": re.escape(self.model_file(round).name), "none": "-"}
        folder = self.path / "checkpoints"
        refuse_linked_folders(self.path, _FILES)
        for file in folder.iterdir() if folder.is_dir() else ():
            is_ours = re.fullmatch(_CHECKPOINT, file.name) and not file.is_dir()
            if is_ours and not re.fullmatch(keep[self.keep_checkpoints], file.name) and file not in but:
                kill_point("drop a checkpoint")
                file.unlink(missing_ok=True)

    def read_pending(self, name: str) -> PendingRequest | None:
        """Read a labeling request that is not recorded yet; None if there is none.

        Args:
            name: ``initial`` or ``round-003``.

        Raises:
            UserError: the file is damaged.
        """
        return read_pending(self.path, name)

    def write_pending(self, request: PendingRequest) -> None:
        """Save a labeling request before the oracle gets it; from then on the round is not trained again.

        Raises:
            RunError: the file cannot be written.
        """
        try:
            (self.path / "queries").mkdir(exist_ok=True)
            write_pending(self.path, request)
        except OSError as error:
            raise RunError(self._cannot_write(f"the labeling request of {request.name}", error.strerror)) from None

    def open_batches(self) -> list[LabelingBatch]:
        """Return the batches whose labels are missing: that of the next round first, then those requested ahead."""
        return open_batches(self.path, len(self._records))

    def drop_requests(self) -> None:
        """Remove the labeling requests of rounds that a finished run does not reach; the files for people stay."""
        for request in all_pending(self.path):
            pending_file(self.path, request.name).unlink(missing_ok=True)

    def _drop_pending(self, rounds: int) -> None:
        """Remove the labeling requests of recorded rounds."""
        for name in (INITIAL, *map(round_name, range(rounds))):
            kill_point("drop a request")
            pending_file(self.path, name).unlink(missing_ok=True)

    def disk_use(self) -> tuple[int, int]:
        """Return the size of the run directory and of its checkpoints, in bytes."""
        sizes = [(file, file.stat().st_size) for file in self.path.rglob("*") if file.is_file()]
        return sum(size for _, size in sizes), sum(size for file, size in sizes if file.suffix == ".ckpt")

    def _cannot_write(self, what: str, why: str | None) -> str:
        return (
            f"cannot write {what} into run_dir '{self.path}' ({why}): free disk space or make the folder writable, and "
            "the same command resumes the run"
        )

    def derive_tables(self) -> None:
        """Write the CSV files from the records; the records are read if :meth:`open` has not read them."""
        self._tables.write(self._records or read_records(self.path))

    @property
    def _patterns(self) -> tuple[str, ...]:
        return (*_FILES, *BATCH_FILES, *self.written_by_others)

    def _clear(self) -> None:
        """Remove the files of a former run by their names; folders of a person's work are renamed."""
        for folder in ("queries", "amendments", "export"):
            if any((self.path / folder).glob("*")):
                places = (self.path / f"{folder}-{n}" for n in itertools.count(1))
                (self.path / folder).rename(next(place for place in places if not place.exists()))
        remove_own(self.path, self._patterns)
        self.left = others(self.path, (*self._patterns, *_STAY))

    def changed_keys(self) -> dict[str, tuple[Any, Any]]:
        """Return the keys whose values differ from the written configuration, with both values."""
        before, now = self.written_config(), flatten(self.config)
        places = PLACES if self._records and self._records[0].data else ()
        different = {k: both for k, both in changed(before, now).items() if not is_free(k) and k not in places}
        if different and (since := self._other_versions()):
            lost = [key for key in gone(before, now) if different.pop(key, None)]
            if lost:
                self.notes.append(f"{', '.join(lost)} is no option any more ({since}): the run resumes without it")
        return different

    def _other_versions(self) -> str:
        """Return the packages whose versions changed since the last record, with both versions."""
        environment = self._records[-1].environment if self._records else {}
        pairs = [(name, environment.get(name), version(name)) for name in ("torch", "lightning", "msal_lightning")]
        return ", ".join(f"{name} {old}, now {new}" for name, old, new in pairs if old and old != new)

    def written_config(self) -> dict[str, Any]:
        """Return the flattened configuration in the folder; empty if there is none or it will be overwritten."""
        file = self.path / "config.yaml"
        if self.overwrite or not file.exists():
            return {}
        try:
            return flatten(present(read_yaml(file)))
        except (UnicodeDecodeError, yaml.YAMLError, AttributeError):
            return {"config.yaml": "damaged"}


def _decides_initial_set(key: str) -> bool:
    """Whether another value of a key could mean other images to label before the first model is trained."""
    is_of_a_model = key.startswith(("trainer.", "model.", "loop."))
    return not is_of_a_model or key in ("loop.initial_size", "loop.held_out", "loop.replay")


def is_run(path: Path) -> bool:
    """Return whether a folder is a run directory: it has a mark, or records of a version without marks."""
    return read_mark(path).get("kind") == "run" or _holds_rounds(path)


def _holds_rounds(path: Path) -> bool:
    """Return whether a folder has a record of this program, or a pending labeling request."""
    for file in (path / "rounds").glob("*.json"):
        if re.fullmatch(RECORD_NAME, file.name):
            try:
                read_record(file)
            except (UserError, TypeError):
                continue
            return True
    try:
        return bool(all_pending(path))
    except UserError:
        return False
