"""Runs on any datasets, with any heads and budgets, as the blocks of one comparison of strategies."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from msal_lightning.errors import RunError
from msal_lightning.paper.methods import method_name
from msal_lightning.runs.budget import is_full
from msal_lightning.runs.reading import Run, Setting, read_runs
from msal_lightning.runs.records import aubc

_Runs = dict[str, dict[int, Run]]  # by strategy and seed


@dataclass(frozen=True)
class Blocks:
    """AUBC of the same strategies in several settings.

    Attributes:
        strategies: K names, sorted.
        names: of each block dataset, head and numbers of labels.
        values: of each block (S, K) AUBC, at the seeds that all strategies have.
        notes: sentences about what was left out.
    """

    strategies: list[str]
    names: list[str]
    values: list[NDArray[np.float64]]
    notes: list[str]


def read_blocks(paths: Sequence[Path]) -> Blocks:
    """Read runs, and group them into blocks: runs of a block differ in strategy and seed only.

    Unfinished runs and blocks that lack a strategy are left out with a note.

    Args:
        paths: run directories, or folders of run directories.

    Raises:
        RunError: two runs have the same block, strategy and seed, or fewer than two strategies share a block and seed.
    """
    runs = [run for run in read_runs(paths, one_dataset=False) if not is_full(run.config)]
    finished = [run for run in runs if len(run.records) >= max(2, run.num_rounds)]
    blocks = _grouped(finished)
    strategies = sorted({name for block in blocks.values() for name in block})
    notes = [f"{len(runs) - len(finished)} unfinished runs are left out"] if len(finished) < len(runs) else []
    names, values = [], []
    for block in blocks.values():
        name = _block_name(next(iter(next(iter(block.values())).values())))
        seeds = sorted(set.intersection(*(set(block.get(strategy, ())) for strategy in strategies)))
        if not seeds:
            missing = [strategy for strategy in strategies if strategy not in block]
            why = f"no run of {', '.join(missing)}" if missing else "no seed that all strategies have"
            notes.append(f"{name} is left out: {why}")
            continue
        names.append(name)
        values.append(np.array([[aubc(block[strategy][seed].records) for strategy in strategies] for seed in seeds]))
    if not values or len(strategies) < 2:
        raise RunError(
            f"expected finished runs of at least two strategies with the same data, head, budget and seed, got none "
            f"({'; '.join(notes) or f'strategies: {len(strategies)}'}): name runs that differ in query"
        )
    return Blocks(strategies, names, values, notes)


def _grouped(runs: Sequence[Run]) -> dict[Setting, _Runs]:
    names = _strategy_names(runs)
    blocks: dict[Setting, _Runs] = defaultdict(lambda: defaultdict(dict))
    for run in runs:
        # the folder says which data they are; it is in no setting, because a folder may be moved
        root = ("data.init_args.root", str(run.config.get("data.init_args.root")))
        key = (*((k, v) for k, v in run.setting if not _is_query(k)), root)
        seed = int(run.config.get("seed", 0))
        by_seed = blocks[key][names[_query(run)]]
        if seed in by_seed:
            raise RunError(
                f"expected one run a strategy and seed, got {by_seed[seed].folder} and {run.folder} with seed {seed}: "
                "leave one of them out"
            )
        by_seed[seed] = run
    return blocks


def _is_query(key: str) -> bool:
    return key == "query" or key.startswith("query.")


def _query(run: Run) -> Setting:
    return tuple((key, value) for key, value in run.setting if _is_query(key))


def _strategy_names(runs: Sequence[Run]) -> dict[Setting, str]:
    """Return a name for each strategy with its options, whatever the head; variants name the options that differ."""
    plain: dict[Setting, str] = {_query(run): method_name({**run.config, "model.head": "linear"}) for run in runs}
    named = {}
    for query, name in plain.items():
        others = [dict(other) for other in plain if plain[other] == name]
        own: Mapping[str, Any] = dict(query)
        keys = sorted({key for other in others for key in other if any(o.get(key) != other[key] for o in others)})
        options = (f", {key.removeprefix('query.').replace('init_args.', '')}={own.get(key)}" for key in keys)
        named[query] = name + "".join(options)
    return named


def _block_name(run: Run) -> str:
    folder = Path(str(run.config.get("data.init_args.root", ""))).name
    data = f"{run.dataset} ({folder})" if run.dataset in ("Embeddings", "ImageFolder") else run.dataset
    first, last = run.records[0].num_labeled, run.records[-1].num_labeled
    return f"{data}, {run.config.get('model.head')} head, {first:,} to {last:,} labels"
