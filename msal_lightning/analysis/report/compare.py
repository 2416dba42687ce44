"""Decides which runs may share a table, and names their methods."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msal_lightning.errors import RunError
from msal_lightning.paper.methods import method_name
from msal_lightning.runs.budget import is_full
from msal_lightning.runs.reading import Run, read_runs
from msal_lightning.training.environment import say_mixed_environments


@dataclass(frozen=True)
class Method:
    """Runs that differ in their seed only.

    Attributes:
        name: name of the method, unique in the comparison.
        row: the paper's row; variants of a method share it.
        runs: finished runs by seed.
    """

    name: str
    row: str
    runs: dict[int, Run]

    @property
    def is_full(self) -> bool:
        """Whether the method trains on all images and queries nothing."""
        return is_full(next(iter(self.runs.values())).config)


@dataclass(frozen=True)
class Comparison:
    """Methods on the same images with the same initial sets.

    Attributes:
        dataset: name of the data class.
        imbalance: imbalance of the long-tailed version; None for the whole dataset.
        methods: methods sorted by name.
        notes: sentences about left-out runs and mixed environments.
    """

    dataset: str
    imbalance: float | None
    methods: list[Method]
    notes: list[str]


def compare(paths: Sequence[Path]) -> Comparison:
    """Read runs that differ in query, head, lag and seed only, and group them by method.

    A run that has fewer rounds than its configuration defines, or than another run has, is left out with a note. Full
    (``loop.initial_size: all``) has no query, so its ``loop.*`` may differ.

    Args:
        paths: run directories, or folders of run directories.

    Raises:
        RunError: runs differ in other keys, runs of one seed have different initial sets, two runs have the same method
            and seed, or no run is finished.
    """
    runs = read_runs(paths)
    _check_settings(runs)  # unfinished runs too: a larger budget does not mean missing rounds
    finished, notes = _finished(runs)
    _check_initial_sets(finished)
    if mixed := say_mixed_environments([record.environment for run in finished for record in run.records]):
        notes.append(mixed)
    imbalance = finished[0].config.get("data.init_args.imbalance")
    return Comparison(
        finished[0].dataset, None if imbalance in (None, 1) else float(imbalance), _methods(finished), notes
    )


def _finished(runs: list[Run]) -> tuple[list[Run], list[str]]:
    most = (
        max(len(run.records) for run in runs if not is_full(run.config))
        if not all(is_full(run.config) for run in runs)
        else 1
    )
    finished, notes = [], []
    for run in runs:
        rounds = 1 if is_full(run.config) else max(most, run.num_rounds)
        if len(run.records) < rounds:
            notes.append(f"{run.folder} is left out: {_lacks(run, rounds)}")
        else:
            finished.append(run)
    if not finished:
        raise RunError(f"expected finished runs, found none ({'; '.join(notes)}): the same `fit` command resumes a run")
    return finished, notes


def _lacks(run: Run, rounds: int) -> str:
    if run.records and len(run.records) == run.num_rounds:
        return f"it ended after {len(run.records)} rounds, and others have {rounds}; report it alone"
    return f"{len(run.records)} of {rounds} rounds are finished"


def _check_settings(runs: list[Run]) -> None:
    # an ordinary run sets the rule, so that only Full is excused from loop.*
    rule = next((run for run in runs if not is_full(run.config)), runs[0])
    expected = dict(rule.setting)
    for run in runs:
        got = dict(run.setting)
        for key in sorted({*expected, *got}):
            excused = key.startswith("loop.") and is_full(run.config)
            if expected.get(key) != got.get(key) and not excused and not _is_method(key):
                raise RunError(
                    f"expected runs that differ in query, head, loop.lag and seed only, got {key} "
                    f"{rule.config.get(key, expected.get(key))} in {rule.folder} and "
                    f"{run.config.get(key, got.get(key))} in {run.folder}: report them one by one"
                )


def _is_method(key: str) -> bool:
    return key == "query" or key.startswith("query.") or key in ("model.head", "loop.lag")


def _check_initial_sets(runs: list[Run]) -> None:
    first: dict[Any, Run] = {}
    for run in runs:
        if is_full(run.config):
            continue
        other = first.setdefault(run.config.get("seed"), run)
        here, there = set(run.records[0].initial.index), set(other.records[0].initial.index)
        if here != there:
            raise RunError(
                f"expected one initial set for seed {run.config.get('seed')}, got {len(here - there)} other images in "
                f"{run.folder} than in {other.folder}: report them one by one, or repeat one of them with the same data"
            )


def _methods(runs: list[Run]) -> list[Method]:
    groups: dict[tuple[tuple[str, str], ...], dict[int, Run]] = defaultdict(dict)
    for run in runs:
        config = {"loop.lag": 0, **run.config}  # earlier versions had none
        key = tuple((k, str(v)) for k, v in sorted(config.items()) if _is_method(k))
        key = tuple((k, v) for k, v in key if v != "None") + (("loop.initial_size", "all"),) * is_full(run.config)
        seed = int(run.config.get("seed", 0))
        if seed in groups[key]:
            raise RunError(
                f"expected one run a method and seed, got {groups[key][seed].folder} and {run.folder} with seed "
                f"{seed}: leave one of them out"
            )
        groups[key][seed] = run
    rows = {key: method_name(next(iter(group.values())).config) for key, group in groups.items()}
    methods = []
    for key, group in groups.items():
        others = [dict(other) for other in groups if rows[other] == rows[key]]
        methods.append(Method(rows[key] + _variant(dict(key), others), rows[key], dict(sorted(group.items()))))
    return sorted(methods, key=lambda method: method.name)


def _variant(config: Mapping[str, str], others: list[dict[str, str]]) -> str:
    """Return the options that distinguish a method from others of its row: ``, beta=10`` for example."""
    keys = sorted({key for other in others for key in other if any(o.get(key) != other[key] for o in others)})
    return "".join(f", {_short(key)}={config.get(key)}" for key in keys)


def _short(key: str) -> str:
    return key.removeprefix("query.").replace("init_args.", "").removeprefix("model.").removeprefix("loop.")
