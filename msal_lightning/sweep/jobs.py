"""Resolves the configuration of every cell before the first one starts."""

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jsonargparse import Namespace

from msal_lightning.config.parser import as_user_error, build_parser, instantiate, parse, resolve
from msal_lightning.errors import ConfigError, RunError, UserError
from msal_lightning.loop.shared_round0 import digest
from msal_lightning.runs.amendments import read_amendments
from msal_lightning.runs.budget import label_counts_of, num_rounds
from msal_lightning.runs.config import flatten, say_changed
from msal_lightning.runs.directory import RunDirectory
from msal_lightning.runs.records import read_records
from msal_lightning.sweep.grid import Cell, whole_seed
from msal_lightning.training.precision import choose_precision


@dataclass(frozen=True)
class Job:
    """A cell with its run directory.

    Attributes:
        cell: the cell, with its options of ``fit``.
        folder: the run directory.
        rounds: number of rounds of its loop.
        group: cells of the same group train the same model in round 0.
        config: resolved configuration.
    """

    cell: Cell
    folder: Path
    rounds: int
    group: str
    config: dict[str, Any]

    @property
    def log(self) -> Path:
        """File with the output of the fit."""
        return self.folder.with_name(f"{self.folder.name}.log")


def make_jobs(cells: Sequence[Cell], out: Path, known: Sequence[str] = ()) -> tuple[list[Job], list[str]]:
    """Parse each cell as ``fit`` will, so that a mistake shows before anything has run.

    Args:
        cells: cells of the sweep.
        out: folder of their run directories.
        known: options of the sweep, for suggestions.

    Returns:
        The jobs, and one sentence for each kind of cell that is left out because it has no meaning.

    Raises:
        ConfigError: a mistake in an option, a strategy that cannot be made, or nothing left to run.
    """
    parser = build_parser()

    @cache
    def without_seed(arguments: tuple[str, ...]) -> tuple[Namespace, dict[str, Any], str]:
        config = parse(parser, list(arguments), known)
        with as_user_error():
            strategy = instantiate(parser, config, "query").query
        linear = strategy.needs_prototypes and config.model.head != "prototype" and not config.loop.replay
        return config, resolve(parser, config), strategy.name if linear else ""

    jobs, left_out = [], Counter[str]()
    for cell in cells:
        has_seed = cell.arguments[-2:-1] == ("--seed",)  # the seed comes last
        config, resolved, meaningless = without_seed(cell.arguments[:-2] if has_seed else cell.arguments)
        if meaningless:
            left_out[f"{meaningless} with model.head {config.model.head}: it needs prototypes"] += 1
            continue
        seeded = {**resolved, "seed": whole_seed(cell.arguments[-1])} if has_seed else resolved
        seeded = _with_precision(seeded, out / cell.name)
        group = f"{digest(seeded)}-{_initial_set(resolved['loop'])}"
        jobs.append(Job(cell, out / cell.name, _rounds(seeded), group, seeded))
    if not jobs:
        raise ConfigError(f"no cell is left to run ({'; '.join(left_out)}): set model.head to prototype")
    return jobs, [f"left out {count} of {reason}" for reason, count in left_out.items()]


def is_finished(job: Job) -> bool:
    """Whether all rounds are recorded. Steps after the last record that a kill prevented are made up for here.

    Raises:
        RunError: the folder belongs to another configuration.
    """
    if not (job.folder / "config.yaml").exists():
        return False
    run = RunDirectory(job.folder, job.config)
    run.keep_checkpoints = job.config["loop"].get("keep_checkpoints", "last")
    rounds = len(list((job.folder / "rounds").glob("[0-9]*.json")))
    if rounds and (changed := run.changed_keys()):
        raise RunError(
            f"'{job.folder}' belongs to another configuration ({say_changed(changed)}): "
            "choose another --out, or move that folder away"
        )
    if rounds < _wanted_rounds(job):
        return False
    try:
        run.derive_tables()
        run.drop_checkpoints(job.rounds - 1)
    except (UserError, OSError):  # fit says what is wrong
        return False
    return _is_told(job)


def _wanted_rounds(job: Job) -> int:
    """Return the number of rounds; a stopping criterion or a person may have changed it."""
    planned = label_counts_of(flatten(job.config))
    return len(read_amendments(job.folder).label_counts(planned)) if planned else job.rounds


def _initial_set(loop: dict[str, Any]) -> str:
    """Hash what decides on the initial set besides the seed."""
    chosen = {key: loop.get(key) for key in ("replay", "initial_size", "initial", "initial_features")}
    return hashlib.blake2s(json.dumps(chosen, sort_keys=True).encode(), digest_size=8).hexdigest()


def _is_told(job: Job) -> bool:
    file = job.folder / "wandb_id"
    return job.config["logger"] != "wandb" or (file.exists() and "finished" in file.read_text())


def _rounds(config: dict[str, Any]) -> int:
    replayed = config["loop"].get("replay")
    return len(read_records(Path(replayed))) if replayed else num_rounds(flatten(config))


def _with_precision(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Resolve ``trainer.precision: auto`` as ``fit`` will in that folder."""
    trainer = config["trainer"]
    if trainer["precision"] != "auto":
        return config
    return {**config, "trainer": {**trainer, "precision": choose_precision(trainer["accelerator"], folder)[0]}}
