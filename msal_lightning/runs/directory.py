"""The run directory: what is made, checked, written and removed in it, and when."""

import itertools
import json
import re
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import yaml

from msal_lightning.errors import RunError, UserError
from msal_lightning.io.atomic import write_atomically
from msal_lightning.io.csv_cells import table
from msal_lightning.io.folder_mark import MARK, check_folder, read_mark, write_mark
from msal_lightning.io.kill_points import kill_point
from msal_lightning.io.lock import DirectoryLock
from msal_lightning.io.own_files import others, refuse_linked_folders, remove_own, remove_parts
from msal_lightning.io.terminal import say
from msal_lightning.io.yaml_files import read_yaml
from msal_lightning.runs.changes import changed, gone, without_defaults
from msal_lightning.runs.classes import class_table
from msal_lightning.runs.config import PLACES, flatten, is_free, say_changed
from msal_lightning.runs.moved_names import present
from msal_lightning.runs.pending import (
    BATCH_FILES,
    INITIAL,
    PENDING_FILES,
    PendingRequest,
    all_pending,
    pending_file,
    read_pending,
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
from msal_lightning.runs.tables import curve_row, ledger_rows

if TYPE_CHECKING:
    from lightning.pytorch import Trainer

_CHECKPOINT = r"(round-[0-9]{3,}|fit)\.ckpt"
_REQUEUED = r"hpc_ckpt_[0-9]+\.ckpt"  # what Lightning saves before it has SLURM requeue a job
_FILES = (  # of a run, see own_files; other modules declare theirs
    r"config\.yaml",
    r"curve\.csv",
    r"per_class\.csv",
    r"ledger\.csv",
    rf"rounds/{RECORD_NAME}",
    rf"checkpoints/{_CHECKPOINT}",
    _REQUEUED,
    SIGNATURE_FILE,
    *PENDING_FILES,
)
_STAY = (re.escape(MARK), "lock")


class RunDirectory:
    """The folder of one run; nothing is touched before :meth:`open`.

    Args:
        path: made when it is not there.
        config: the whole resolved configuration, plain YAML values.
        overwrite: remove the files that a former run wrote into it.

    Attributes:
        keep_checkpoints: the models of which finished rounds stay.
        notes: what :meth:`open` found that is worth a line.
        written_by_others: patterns of what other modules write into it, see :mod:`~msal_lightning.io.own_files`.
        left: what ``overwrite`` left in place, since no run writes files of these names.
    """

    def __init__(self, path: str | Path, config: Mapping[str, Any] | None = None, overwrite: bool = False) -> None:
        self.path = Path(path)
        self.config: dict[str, Any] = present(config or {})
        self.overwrite = overwrite
        self.keep_checkpoints: Literal["last", "all", "none"] = "last"
        self.written_by_others: Sequence[str] = ()
        self.left: list[str] = []
        self._lock = DirectoryLock(self.path / "lock")
        self._records: list[RoundRecord] = []
        self.notes: list[str] = []

    def open(self) -> list[RoundRecord]:
        """Make the folder, or find out how far an earlier run came; nobody else can until :meth:`close`.

        Returns:
            The records of all finished rounds, in order.

        Raises:
            RunError: it was made by another configuration, is no run directory, cannot be written, is in use, or a
                record is damaged, changed by hand or missing.
        """
        try:
            is_new = check_folder(self.path, "run", "run_dir", _holds_rounds)
            self.path.mkdir(parents=True, exist_ok=True)
            if is_new:  # before anything else is in it, so that a kill leaves no folder that is refused
                write_mark(self.path, "run")
            refuse_linked_folders(self.path, self._patterns)
            self._lock.acquire()
            if self.overwrite:
                self._clear()
            remove_parts(self.path, (*self._patterns, *_STAY))
            remove_own(self.path, [_REQUEUED])  # Lightning would take it for the fit of every later round
            records = self._records = read_records(self.path)
            if changed := self.changed_keys():
                self._refuse_or_replace(changed, records)
            write_mark(self.path, "run")  # a folder from before there were marks takes one
            if not (self.path / "config.yaml").exists():
                write_atomically(self.path / "config.yaml", yaml.safe_dump(self.config, sort_keys=False))
            if why := sign(self.path, self.config):
                say(f"(the run is not signed, {why}: `query` and `replay` of it need --trust for classes of your own)")
            (self.path / "rounds").mkdir(exist_ok=True)
            if records:  # in case the last run ended between its last record and what follows from it
                self.derive_tables()
                self._drop_pending(len(records))
                self.drop_checkpoints(records[-1].round, self.fit_checkpoint, self.model_file(len(records)))
            return list(records)
        except OSError as error:
            self.close()
            raise RunError(
                f"cannot write run_dir '{self.path}' ({error.strerror or error}): set it to a folder of yours"
            ) from None
        except UserError:
            self.close()
            raise

    def first_record(self) -> RoundRecord | None:
        """Of round 0, where this run will go on from it; before :meth:`open`, which says what is wrong with it."""
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
                f"run_dir '{self.path}' asks a person for labels with another configuration "
                f"({say_changed(changed)}): choose another run_dir, or start anew with --overwrite, which sets "
                "the folder queries aside"
            )
        # no round was finished: its files belong to the former configuration; W&B's folders are of use without it
        remove_own(self.path, [pattern for pattern in self._patterns if not pattern.startswith("wandb/")])

    @property
    def name(self) -> str:
        """Last part of the path."""
        return self.path.name

    def close(self) -> None:
        """Let others write into it."""
        self._lock.close()

    @property
    def config_digest(self) -> str:
        """Of all keys that alter a result; the same with a version that has added options."""
        return digest_of({key: v for key, v in without_defaults(flatten(self.config)).items() if not is_free(key)})

    @property
    def former_config_digest(self) -> str:
        """The digest by which older versions knew their fits: of config.yaml as it is, with defaults."""
        written = flatten(read_yaml(self.path / "config.yaml"))
        return digest_of({key: value for key, value in written.items() if not is_free(key)})

    @property
    def fit_checkpoint(self) -> Path:
        """Where the fit in progress is saved."""
        return self.path / "checkpoints" / "fit.ckpt"

    def commit(self, record: RoundRecord) -> None:
        """Make a round final: its record is there whole or not at all; what follows can be derived from it.

        Raises:
            RunError: it, or what is derived from it, cannot be written. Without the record the round is not final, and
                its fit is still there; with it, the next start derives the rest.
        """
        body = record_body(record)
        text = json.dumps({"format": FORMAT, "digest": digest_of(body), **body}, indent=1)
        try:
            write_atomically(self.path / "rounds" / f"{record.round:03d}.json", text)
            self._records = [*self._records[: record.round], record]
            kill_point("derive tables")
            self.derive_tables()
            kill_point("drop requests")
            self._drop_pending(record.round + 1)
            kill_point("drop checkpoints")
            self.drop_checkpoints(record.round)
        except OSError as error:
            raise RunError(self._cannot_write(f"the record of round {record.round}", error.strerror)) from None

    def save_model(self, trainer: "Trainer", round: int, needed: bool = False) -> None:
        """Keep the weights of a round, whole or not at all; all processes of a run take part.

        Args:
            trainer: of the round.
            round: k.
            needed: before the round is recorded, whatever ``keep_checkpoints`` says.

        Raises:
            RunError: they cannot be written.
        """
        if self.keep_checkpoints == "none" and not needed:
            return
        file = self.model_file(round)
        trainer.save_checkpoint(file, weights_only=True)
        if failed := getattr(trainer.strategy.checkpoint_io, "failed", None):
            raise RunError(self._cannot_write(f"'{file.relative_to(self.path)}'", failed))

    def save_file(self, name: str, content: bytes) -> None:
        """Write another file of a round before its record, whole or not at all; a former one is overwritten.

        Args:
            name: below the run directory, its folder among the run's own.
            content: of the file.

        Raises:
            RunError: it cannot be written.
        """
        file = self.path / name
        try:
            file.parent.mkdir(exist_ok=True)
            write_atomically(file, content)
        except OSError as error:
            raise RunError(self._cannot_write(f"'{name}'", error.strerror)) from None

    def model_file(self, round: int) -> Path:
        """Where the model of a round is saved."""
        return self.path / "checkpoints" / f"round-{round:03d}.ckpt"

    def drop_checkpoints(self, round: int, *but: Path) -> None:
        """Remove what ``keep_checkpoints`` does not keep, and the fit that was in progress.

        Args:
            round: the last finished one.
            but: what else stays.
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
        """What a person is asked for, and was answered, but not recorded yet.

        Args:
            name: ``initial`` or ``round-003``.

        Raises:
            RunError: the file is damaged.
        """
        return read_pending(self.path, name)

    def write_pending(self, request: PendingRequest) -> None:
        """Keep what is asked before anybody is: from then on the round is not trained again.

        Raises:
            RunError: it cannot be written.
        """
        try:
            (self.path / "queries").mkdir(exist_ok=True)
            write_pending(self.path, request)
        except OSError as error:
            raise RunError(self._cannot_write(f"what {request.name} asks", error.strerror)) from None

    def _drop_pending(self, rounds: int) -> None:
        """Of rounds that are recorded."""
        for name in (INITIAL, *(f"round-{round:03d}" for round in range(rounds))):
            kill_point("drop a request")
            pending_file(self.path, name).unlink(missing_ok=True)

    def disk_use(self) -> tuple[int, int]:
        """Bytes of the whole run directory, and of its checkpoints among them."""
        sizes = [(file, file.stat().st_size) for file in self.path.rglob("*") if file.is_file()]
        return sum(size for _, size in sizes), sum(size for file, size in sizes if file.suffix == ".ckpt")

    def _cannot_write(self, what: str, why: str | None) -> str:
        return (
            f"cannot write {what} into run_dir '{self.path}' ({why}): make room or give it back to you, and the same "
            "command goes on"
        )

    def derive_tables(self) -> None:
        """Write the CSV files from the records, which are read unless :meth:`open` has done so."""
        records = self._records or read_records(self.path)
        tables = {
            "curve.csv": [curve_row(record) for record in records],
            "per_class.csv": class_table(records),  # none in a run that was made before records had numbers by class
            "ledger.csv": [row for record in records for row in ledger_rows(record)],
        }
        for name, rows in ((name, rows) for name, rows in tables.items() if rows):
            file, text = self.path / name, table(rows)
            if not file.exists() or file.read_text(encoding="utf-8") != text:
                write_atomically(file, text)

    @property
    def _patterns(self) -> tuple[str, ...]:
        return (*_FILES, *BATCH_FILES, *self.written_by_others)

    def _clear(self) -> None:
        """Remove the files of a former run by their names; what a person may have labeled is set aside."""
        if any((self.path / "queries").glob("*")):
            places = (self.path / f"queries-{n}" for n in itertools.count(1))
            (self.path / "queries").rename(next(place for place in places if not place.exists()))
        remove_own(self.path, self._patterns)
        self.left = others(self.path, (*self._patterns, *_STAY))

    def changed_keys(self) -> dict[str, tuple[Any, Any]]:
        """Keys whose values differ from those that made the folder, each with both."""
        before, now = self.written_config(), flatten(self.config)
        places = PLACES if self._records and self._records[0].data else ()
        different = {k: both for k, both in changed(before, now).items() if not is_free(k) and k not in places}
        if different and (since := self._other_versions()):
            lost = [key for key in gone(before, now) if different.pop(key, None)]
            if lost:
                self.notes.append(f"{', '.join(lost)} of this run is no option any more ({since}): it goes on without")
        return different

    def _other_versions(self) -> str:
        """The packages that are not those of the last record, with both versions; empty where all are."""
        environment = self._records[-1].environment if self._records else {}
        pairs = [(name, environment.get(name), version(name)) for name in ("torch", "lightning", "msal_lightning")]
        return ", ".join(f"{name} {old}, now {new}" for name, old, new in pairs if old and old != new)

    def written_config(self) -> dict[str, Any]:
        """The flattened configuration that made the folder; empty for a new one, and for one to be overwritten."""
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
    """Whether a folder is a run directory: by its mark, or by its records where it is from before there were marks."""
    return read_mark(path).get("kind") == "run" or _holds_rounds(path)


def _holds_rounds(path: Path) -> bool:
    """Whether a folder has a record of this program, or the labels that a person was asked for."""
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
