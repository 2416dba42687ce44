"""Finding runs: what ``figure`` and ``report`` start from."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from msal_lightning.config.batch_size import only_where_it_matters
from msal_lightning.config.changes import aligned
from msal_lightning.config.yaml_files import read_yaml
from msal_lightning.errors import UserError
from msal_lightning.methods import last_word
from msal_lightning.runs import RoundRecord, flatten, is_free, read_records

Setting = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Run:
    """One run directory.

    Attributes:
        folder: as it was given.
        config: flattened.
        records: of the finished rounds, in order.
    """

    folder: Path
    config: dict[str, Any]
    records: list[RoundRecord]

    @property
    def dataset(self) -> str:
        """Name of the data class."""
        return last_word(self.config.get("data.class_path"))

    @property
    def setting(self) -> Setting:
        """What alters a result, but for the seed and keys that are none: runs that share it can be averaged."""
        alone = not self.records or self.records[-1].environment.get("processes", "1") == "1"
        items = sorted(only_where_it_matters(self.config, alone).items())
        return tuple(
            (key, _replayed(value) if key == "loop.replay" else str(value))
            for key, value in items
            if key != "seed" and value not in (None, {}) and not is_free(key)
        )


def read_runs(paths: Sequence[Path]) -> list[Run]:
    """All runs in some folders, each once; those without a finished round too.

    Args:
        paths: run directories, or folders of them.

    Raises:
        UserError: a folder has no runs, none of them has a finished round, a configuration is damaged, or the runs are
            on different datasets.
    """
    folders = {file.parent.resolve(): file.parent for path in paths for file in _config_files(path)}
    configs = aligned([_config(folder) for folder in folders.values()])
    runs = [Run(folder, config, read_records(folder)) for folder, config in zip(folders.values(), configs, strict=True)]
    datasets = {run.dataset: run.folder for run in runs}
    if len(datasets) > 1:
        raise UserError(
            f"expected runs on one dataset, got {' and '.join(datasets)} "
            f"({' and '.join(str(folder) for folder in datasets.values())}): take them one by one"
        )
    if not any(run.records for run in runs):
        raise UserError(
            f"expected runs with finished rounds in {', '.join(map(str, paths))}, found none: run `fit` first"
        )
    return runs


def read_run(folder: Path) -> Run:
    """One run, also without a finished round.

    Args:
        folder: the run directory.

    Raises:
        UserError: it is none, or its configuration or a record is damaged.
    """
    if not (folder / "config.yaml").is_file():
        raise UserError(f"expected '{folder}' to be a run directory, found no config.yaml in it: name one of runs/")
    return Run(folder, _config(folder), read_records(folder))


def _replayed(folder: str) -> str:
    """The setting of a run that was replayed, which other seeds share; its folder where it is gone."""
    try:
        return str(read_run(Path(folder)).setting)
    except UserError:
        return folder


def _config_files(path: Path) -> list[Path]:
    files = sorted([*path.glob("config.yaml"), *path.glob("*/config.yaml")])
    if not files:
        raise UserError(f"expected '{path}' to be a run directory or a folder of them, found no config.yaml in it")
    return files


def _config(folder: Path) -> dict[str, Any]:
    try:
        return flatten(read_yaml(folder / "config.yaml"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, AttributeError):
        raise UserError(f"the configuration '{folder / 'config.yaml'}' is damaged: leave this run out") from None
