"""Groups the runs of a figure and names the groups."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from msal_lightning.errors import RunError
from msal_lightning.paper.methods import method_name
from msal_lightning.runs.reading import Run, Setting, read_runs


def read_groups(paths: Sequence[Path]) -> dict[str, list[Run]]:
    """Read runs with finished rounds, and group runs that differ in seed only.

    Args:
        paths: run directories, or folders of run directories.

    Returns:
        Name of a group to its runs, sorted by seed. The name comes from the paper's tables. If groups share it, the
        keys in which they differ follow as on the command line: ``MSAL-D, query.beta=10``.

    Raises:
        UserError: a folder has no runs, or the runs are on different datasets.
    """
    groups: dict[Setting, list[Run]] = defaultdict(list)
    for run in read_runs(paths):
        if run.records:
            groups[run.setting].append(run)
    names = {key: method_name(runs[0].config) for key, runs in groups.items()}
    named = {}
    for key, runs in groups.items():
        others = [dict(other) for other in groups if names[other] == names[key]]
        keys = sorted({k for other in others for k in other if any(o.get(k) != other[k] for o in others)})
        differing = [f"{k.replace('init_args.', '')}={_short(dict(key).get(k, 'null'))}" for k in keys]
        named[", ".join([names[key], *differing])] = sorted(runs, key=_seed)
    return named


def dataset_of(groups: Mapping[str, Sequence[Run]]) -> str:
    """Return the name of the dataset that all runs share."""
    return next(run.dataset for runs in groups.values() for run in runs)


def first_seeds(groups: dict[str, list[Run]]) -> dict[str, Run]:
    """Return the run with the lowest seed of each group."""
    return {name: runs[0] for name, runs in sorted(groups.items())}


def choose_rounds(available: Sequence[int], wanted: Sequence[int] | None, number: int) -> list[int]:
    """Choose the rounds to show.

    Args:
        available: rounds that can be shown, ascending; at least one.
        wanted: the requested rounds; None for evenly spread ones.
        number: number of evenly spread rounds, including the first and the last.

    Raises:
        RunError: a requested round is not available.
    """
    if wanted is None:
        last = len(available) - 1
        return [available[i] for i in sorted({round(k * last / max(1, number - 1)) for k in range(number)})]
    if missing := [k for k in wanted if k not in available]:
        raise RunError(
            f"expected --rounds among {_ranges(available)}, which all runs have, got {missing[0]}: leave it out"
        )
    return list(wanted)


def _ranges(numbers: Sequence[int]) -> str:
    consecutive = len(numbers) > 2 and list(numbers) == list(range(numbers[0], numbers[-1] + 1))
    return f"{numbers[0]} to {numbers[-1]}" if consecutive else ", ".join(map(str, numbers))


def _seed(run: Run) -> int:
    return int(run.config.get("seed", 0))


def _short(value: str) -> str:
    """Shorten 5.0 to ``5``, and a class path to ``Entropy``."""
    value = value.removesuffix(".0")
    return value.rpartition(".")[2] if value.replace(".", "").replace("_", "").isidentifier() else value
