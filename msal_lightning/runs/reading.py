"""Find and read runs, for ``figure`` and ``report``."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from msal_lightning.data.batches.batch_size import only_where_it_matters
from msal_lightning.errors import RunError, UserError
from msal_lightning.io.terminal import say
from msal_lightning.io.yaml_files import read_yaml
from msal_lightning.paper.methods import last_word
from msal_lightning.runs.amendments import Amendments, read_amendments
from msal_lightning.runs.budget import label_counts_of
from msal_lightning.runs.changes import aligned
from msal_lightning.runs.classes import class_names
from msal_lightning.runs.config import flatten, is_free
from msal_lightning.runs.moved_names import present
from msal_lightning.runs.records import RoundRecord, read_records

_KINDS: dict[str, tuple[type, str]] = {
    "seed": (int, "an integer"),
    **{f"loop.{key}": (int, "an integer") for key in ("query_size", "query_budget", "held_out", "pool_limit")},
    "loop.initial_size": (int, "an integer or all"),
    "loop.replay": (str, "a path"),
    "model.head": (str, "a word"),
    **{f"{key}.class_path": (str, "the name of a class") for key in ("query", "data", "oracle", "model.backbone")},
}
"""Types of the configuration keys that readers of runs rely on."""
Setting = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Run:
    """One run directory.

    Attributes:
        folder: the run directory, as given by the caller.
        config: the flattened configuration.
        records: records of the finished rounds, in order.
        amendments: the changes that a person made to the run.
    """

    folder: Path
    config: dict[str, Any]
    records: list[RoundRecord]
    amendments: Amendments = field(default_factory=Amendments)

    @property
    def dataset(self) -> str:
        """The name of the data class."""
        return last_word(self.config.get("data.class_path"))

    @property
    def label_counts(self) -> list[int] | None:
        """Number of labels of each round; None if only the data or another run decides."""
        planned = label_counts_of(self.config)
        return self.amendments.label_counts(planned) if planned else None

    @property
    def class_names(self) -> list[str]:
        """The present class names, in the order of their numbers; empty if the records have none."""
        return self.amendments.present_names(class_names(self.records), len(self.records))

    @property
    def named_records(self) -> list[RoundRecord]:
        """The records; the last one has the present names of its classes, if some were renamed since."""
        if not self.records:
            return []
        *before, last = self.records
        renamed = self.amendments.renamed(class_names(self.records), len(self.records))
        return self.records if renamed == class_names(self.records) else [*before, replace(last, class_names=renamed)]

    @property
    def num_rounds(self) -> int:
        """Number of rounds; 1 if only the data or another run decides."""
        return len(self.label_counts or [0])

    @property
    def setting(self) -> Setting:
        """All config keys that affect results, except the seed, and changed classes.

        Runs with equal settings can be averaged.
        """
        alone = not self.records or self.records[-1].environment.get("processes", "1") == "1"
        items = sorted(only_where_it_matters(self.config, alone).items())
        changes = self.amendments.regrouped()
        return (
            *(
                (key, _replayed(value) if key == "loop.replay" else str(value))
                for key, value in items
                if key != "seed" and value not in (None, {}) and not is_free(key)
            ),
            *((("classes", "; ".join(changes)),) if changes else ()),
        )


def say_left_out(folder: Path, error: UserError | OSError) -> None:
    """Report a damaged run among others on standard error."""
    why = str(error) if isinstance(error, UserError) else f"'{folder}' ({error.strerror})"
    say(f"(left out: {why})", file=sys.stderr)


def run_folders(path: Path) -> list[Path]:
    """Return the run directories in a folder; the folder itself if it is a run, or contains none."""
    if (path / "config.yaml").is_file() or not path.is_dir():
        return [path]
    return [file.parent for file in sorted(path.glob("*/config.yaml"))] or [path]


def read_runs(
    paths: Sequence[Path],
    say_damaged: Callable[[Path, UserError | OSError], None] = say_left_out,
    one_dataset: bool = True,
) -> list[Run]:
    """Read all runs in some folders, each once, including runs without a finished round.

    Args:
        paths: run directories, or folders of them.
        say_damaged: called for each damaged run in a folder of runs; such runs are left out.
        one_dataset: whether runs on different datasets are refused.

    Raises:
        RunError: a folder has no runs, no run has a finished round, a run that ``paths`` names is damaged, or the runs
            use different datasets.
    """
    folders = {file.parent.resolve(): file.parent for path in paths for file in _config_files(path)}
    found = []
    for folder in folders.values():
        try:
            found.append(read_run(folder))
        except (UserError, OSError) as error:
            if folder in paths or len(folders) == 1:  # the user named this run
                raise
            say_damaged(folder, error)
    configs = aligned([run.config for run in found])
    runs = [replace(run, config=config) for run, config in zip(found, configs, strict=True)]
    datasets = {run.dataset: run.folder for run in runs}
    if one_dataset and len(datasets) > 1:
        raise RunError(
            f"expected runs on one dataset, got {' and '.join(datasets)} "
            f"({' and '.join(str(folder) for folder in datasets.values())}): name the runs of one dataset"
        )
    if not any(run.records for run in runs):
        raise RunError(
            f"expected runs with finished rounds in {', '.join(map(str, paths))}, found none: run `fit` first"
        )
    return runs


def read_run(folder: Path) -> Run:
    """Read one run, which may have no finished round.

    Args:
        folder: the run directory.

    Raises:
        RunError: the folder is no run directory, or its configuration or a record is damaged.
    """
    if not (folder / "config.yaml").is_file():
        raise RunError(f"expected '{folder}' to be a run directory, found no config.yaml in it: name one of runs/")
    return Run(folder, _config(folder), read_records(folder), read_amendments(folder))


def _replayed(folder: str) -> str:
    """Return the setting of a replayed run, which other seeds share; its path if the run is gone."""
    try:
        return str(read_run(Path(folder)).setting)
    except UserError:
        return folder


def _config_files(path: Path) -> list[Path]:
    files = sorted([*path.glob("config.yaml"), *path.glob("*/config.yaml")])
    if not files:
        raise RunError(f"expected '{path}' to be a run directory or a folder of them, found no config.yaml in it")
    return files


def _config(folder: Path) -> dict[str, Any]:
    file = folder / "config.yaml"
    try:
        config = flatten(present(read_yaml(file)))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, AttributeError):
        raise RunError(f"the configuration '{file}' is damaged: leave this run out") from None
    for key, (kind, what) in _KINDS.items():
        value = config.get(key)
        if value is None or (key, value) == ("loop.initial_size", "all"):
            continue
        if not isinstance(value, kind) or isinstance(value, bool):
            raise RunError(f"expected {key} in '{file}' to be {what}, got '{value}': leave this run out")
    return config
