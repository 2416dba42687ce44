"""Expands a command line with several values into cells; each cell is one ordinary ``fit``."""

import itertools
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from msal_lightning.errors import ConfigError
from msal_lightning.io.suggestions import did_you_mean
from msal_lightning.io.yaml_files import read_yaml
from msal_lightning.paper.experiments import EXPERIMENTS, SEEDS, Rows, experiment
from msal_lightning.sweep import reproduction, verdict

NAMES = (*EXPERIMENTS, verdict.NAME, *reproduction.NAMES)
"""Names of experiments."""
Options = list[tuple[str, list[str]]]
"""Key of an option, without dashes, and its values; several values make an axis. ``config`` may come twice."""

_OURS = {
    "run_dir": "each cell has one of its own below --out",
    "overwrite": "delete the folder of --out, or that of a cell, to start anew",
    "plan": "--list shows the cells, and `fit --plan` what one of them costs",
    "print_config": "--list shows the cells, and `fit --print_config` the configuration of one",
    "loop.first_fit": "it is set for the cells that share round 0",
}


@dataclass(frozen=True)
class Cell:
    """One fit of a sweep.

    Attributes:
        name: readable name, unique in the sweep; also the name of its run directory.
        row: the paper's name of its row; empty outside the named experiments.
        arguments: arguments of ``fit``, without run_dir.
    """

    name: str
    row: str
    arguments: tuple[str, ...]


def read_options(argv: Sequence[str]) -> Options:
    """Read options of ``fit`` from the command line of a sweep.

    Args:
        argv: ``--key value`` and ``--key=value``; commas outside of brackets and quotes separate the values of an axis.

    Raises:
        ConfigError: a word that is no option, an option without a value, a value that comes twice, or an option that
            has no place in a sweep.
    """
    options: Options = []
    words = list(argv)
    while words:
        word = words.pop(0)
        word = "--config" if word == "-c" else word
        if not word.startswith("--"):
            raise ConfigError(f"expected an option like --query, got '{word}': {_known(word)}")
        key, equals, value = word[2:].partition("=")
        if not equals:
            value = words.pop(0) if words and not words[0].startswith("--") else ""
        options.append((key, _axis(key, split(value) if value else [])))
    return options


def read_grid(path: str) -> Options:
    """Read a grid from YAML: a mapping of options to a value or a list of values.

    Raises:
        ConfigError: the file cannot be read, or its content has another form.
    """
    try:
        content = read_yaml(Path(path))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise ConfigError(
            f"cannot read --grid '{path}' ({reason}): name a YAML file that maps options to lists"
        ) from None
    if not isinstance(content, dict):
        raise ConfigError(f"expected --grid '{path}' to map options to lists of values, got {content!r:.40}")
    return [
        (str(key), _axis(str(key), [_word(value) for value in (values if isinstance(values, list) else [values])]))
        for key, values in content.items()
    ]


def split(text: str) -> list[str]:
    """Split at commas that stand outside of brackets and quotes."""
    parts, depth, quote = [""], 0, ""
    for character in text:
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote = character
        elif character in "([{":
            depth += 1
        elif character in ")]}":
            depth -= 1
        if character == "," and not quote and depth <= 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts]


def cells(experiments: Sequence[str], options: Options, only: Sequence[str] = ()) -> list[Cell]:
    """Return all combinations in the given order; the seed changes fastest.

    Args:
        experiments: names of the paper's experiments; empty for the options alone.
        options: the grid; it overrides the settings of the experiments.
        only: rows of the experiments to keep; empty for all.

    Raises:
        ConfigError: an unknown experiment or row.
    """
    for name in experiments:
        if name not in NAMES:
            raise ConfigError(f"expected an experiment ({', '.join(NAMES)}), got '{name}'{did_you_mean(name, NAMES)}")
    if verdict.NAME in experiments:
        return _verdict_cells(experiments, options, only)
    if {*reproduction.NAMES} & {*experiments}:
        return _reproduction_cells(experiments, options, only)
    if experiments and not any(key == "seed" for key, _ in options):
        options = [*options, ("seed", list(SEEDS))]
    options = sorted(options, key=lambda option: option[0] == "seed")  # stable
    found = list(_experiment_cells(experiments, options, only) if experiments else _grid_cells(options))
    if only and not experiments:
        raise ConfigError("--only keeps rows of the paper's experiments: name one of them, table2 for example")
    unique = {(cell.name, cell.arguments): cell for cell in found}  # two tables may share cells
    if twice := [cell.name for cell in unique.values() if [c.name for c in unique.values()].count(cell.name) > 1]:
        raise ConfigError(f"two different cells would be named '{twice[0]}': sweep them with an --out for each")
    return list(unique.values())


def name_of(experiments: Sequence[str], options: Options) -> str:
    """Return the name of the sweep, which is the same for the same command."""
    configs = [_stem(value) for key, values in options if key == "config" for value in values]
    axes = (
        []
        if experiments
        else [key.rpartition(".")[2] for key, values in options if len(values) > 1 and key != "config"]
    )
    return _slug("-".join([*experiments, *configs, *axes]))


def _experiment_cells(experiments: Sequence[str], options: Options, only: Sequence[str]) -> Iterable[Cell]:
    named = [values for key, values in options if key == "config"]
    if len(named) > 1:
        raise ConfigError(
            f"expected --config once for {' and '.join(experiments)}, with several names separated by commas, got two"
        )
    configs = tuple(named[0]) if named else ()
    options = [(key, values) for key, values in options if key != "config"]
    tables = {name: experiment(name, configs) for name in experiments}
    wanted = _wanted([rows for columns in tables.values() for rows in columns.values()], only)
    for columns in tables.values():
        labels = _column_labels(list(columns))
        for (config, *fixed), rows in columns.items():
            for row, theirs in rows.items():
                if row in wanted:
                    for chosen in _products(options):
                        name = [*labels[config, *fixed], _row_slug(row), *_name_parts(options, chosen)]
                        arguments = ["--config", config, *theirs, *fixed, *_words(chosen)]
                        yield Cell(_slug("-".join(name)), row, tuple(arguments))


def _verdict_cells(experiments: Sequence[str], options: Options, only: Sequence[str]) -> list[Cell]:
    root, seeds = _root_and_seeds(verdict.NAME, experiments, options)
    runs = verdict.runs(seeds, only)
    return _some(verdict.NAME, [Cell(run_folder(run), run.row, run.arguments(root or verdict.ROOT)) for run in runs])


def _reproduction_cells(experiments: Sequence[str], options: Options, only: Sequence[str]) -> list[Cell]:
    name = experiments[0]
    root, seeds = _root_and_seeds(name, experiments, options)
    folder = ("--data.root", root) if root else ()
    found = []
    for run in reproduction.runs(name, seeds, only):
        arguments = ("--config", "mnist", *folder, *run.options, "--seed", str(run.seed))
        found.append(Cell(reproduction_folder(run), run.row, arguments))
    return _some(name, found)


def reproduction_folder(run: reproduction.Run) -> str:
    """Return the name of the run directory of a run of the reproduction."""
    return _slug(f"mnist-{_row_slug(run.row)}-last_batch={run.last_batch}-seed{run.seed}")


def _root_and_seeds(name: str, experiments: Sequence[str], options: Options) -> tuple[str | None, list[int] | None]:
    """Return the folder of the data and the seeds: all that may be chosen of a protocol."""
    given = dict(options)
    if len(experiments) > 1 or given.keys() - {"data.root", "seed"} or len(given.get("data.root", [])) > 1:
        raise ConfigError(
            f"expected {name} alone, with one --data.root, --seed and --only, got "
            f"{', '.join([*experiments, *given])}: its other options are part of the protocol"
        )
    seeds = [whole_seed(seed) for seed in given["seed"]] if "seed" in given else None
    return given.get("data.root", [None])[0], seeds


def _some(name: str, found: list[Cell]) -> list[Cell]:
    if not found:
        raise ConfigError(f"expected --only and --seed to leave a run: see `sweep {name} --list`")
    return found


def whole_seed(seed: str) -> int:
    """Return a seed of the command line as a number.

    Raises:
        ConfigError: it is none.
    """
    try:
        return int(seed)
    except ValueError:
        raise ConfigError(f"expected --seed to be whole numbers separated by commas, got '{seed}'") from None


def run_folder(run: verdict.Run) -> str:
    """Return the name of the run directory of a run of the verdict."""
    return _slug(run.name)


def _grid_cells(options: Options) -> Iterable[Cell]:
    fixed = [_stem(values[0]) for key, values in options if key == "config" and len(values) == 1]
    for chosen in _products(options):
        parts = [*fixed, *_name_parts(options, chosen)]
        yield Cell(_slug("-".join(parts)) or "fit", "", tuple(_words(chosen)))


def _products(options: Options) -> Iterable[list[tuple[str, str]]]:
    keys = [key for key, _ in options]
    for values in itertools.product(*(values for _, values in options)):
        yield list(zip(keys, values, strict=True))


def _words(chosen: Sequence[tuple[str, str]]) -> list[str]:
    return [word for key, value in chosen for word in (f"--{key}", value)]


def _name_parts(options: Options, chosen: Sequence[tuple[str, str]]) -> list[str]:
    """Return parts of a cell's name: the value on each axis, and the seed."""
    parts = []
    for (key, values), (_, value) in zip(options, chosen, strict=True):
        if key == "seed":
            parts.append(f"seed{value}")
        elif len(values) > 1:
            bare = {"config": _stem(value), "query": value.rpartition(".")[2], "model.head": value}
            parts.append(bare.get(key, f"{key.rpartition('.')[2]}={value}"))
    return parts


def _column_labels(columns: list[tuple[str, ...]]) -> dict[tuple[str, ...], list[str]]:
    """Return configuration and first further option (imbalance=0.1), which is left out if all columns share it."""
    several = len({options for _, *rest in columns for options in [tuple(rest)]}) > 1
    return {
        column: [_stem(column[0]), *([f"{column[1].rpartition('.')[2]}={column[2]}"] if several else [])]
        for column in columns
    }


def _wanted(tables: Sequence[Rows], only: Sequence[str]) -> set[str]:
    rows = list(dict.fromkeys(row for table in tables for row in table))
    if not only:
        return set(rows)
    wanted = set()
    for name in only:
        short = [row for row in rows if re.match(rf"{re.escape(name)} ?\(", row)]  # BADGE for BADGE(KMeans++)
        if name not in rows and len(short) != 1:
            raise ConfigError(
                f"expected --only to name rows ({', '.join(rows)}), got '{name}'{did_you_mean(name, short or rows)}"
            )
        wanted.add(name if name in rows else short[0])
    return wanted


def _axis(key: str, values: list[str]) -> list[str]:
    key = key.lstrip("-")
    if key in _OURS:
        raise ConfigError(f"--{key} has no place in a sweep: {_OURS[key]}")
    if not values or "" in values:
        raise ConfigError(f"expected --{key} to have a value, or several separated by commas, got an empty one")
    if twice := [value for value in values if values.count(value) > 1]:
        raise ConfigError(f"expected the values of --{key} to differ, got '{twice[0]}' twice: leave one out")
    return values


def _word(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _stem(config: str) -> str:
    return Path(config).stem


def _row_slug(row: str) -> str:
    return row.replace(" (", "-").replace("(", "-").replace(")", "")


def _slug(text: str) -> str:
    return re.sub(r"[^\w.=+-]+", "-", text).strip("-.")[:200]


def _known(word: str) -> str:
    return f"experiments ({', '.join(NAMES)}) come first" if word in NAMES else "options have two dashes"


def plain(cell: Cell) -> Mapping[str, Any]:
    """Return a cell as plain data for ``sweep.json``."""
    return {"name": cell.name, "row": cell.row, "arguments": list(cell.arguments)}
