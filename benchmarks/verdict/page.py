"""Rebuild the figures of docs/verdict.md, and the tables between its marks, from the table of all runs.

python -m benchmarks.verdict.page
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np
from numpy.typing import NDArray

from benchmarks.marks import fill
from benchmarks.verdict.choices import (
    BLOCKS,
    DIVERSITY,
    HEADS,
    UNCERTAINTY,
    budgets,
    compared,
    pairs_of_heads,
    pairs_of_initial_sets,
    pairs_of_rows,
    strategies_of,
)
from benchmarks.verdict.conclusions import conclusions
from benchmarks.verdict.effects import Effect, Pair, Scores, curves_of, effect, saved, scores, values_of
from benchmarks.verdict.figures import draw_all
from benchmarks.verdict.table import Line, read_table
from msal_lightning.analysis.report.formats.markdown import escape
from msal_lightning.analysis.report.formats.markdown import table as markdown
from msal_lightning.analysis.report.ranking import rank_blocks
from msal_lightning.analysis.report.ranking_tables import as_labels, ranking_sentence, ranking_table, with_interval
from msal_lightning.analysis.report.tables import NONE, Table, signed
from msal_lightning.analysis.stats.power import seeds_needed
from msal_lightning.io.atomic import write_atomically
from msal_lightning.sweep.verdict import BOTH_HEADS, OTHERS, PARTS, SMALL, Cell, runs, runs_of

DOCS = Path(__file__).parents[2] / "docs"
PAGE, CELLS = DOCS / "verdict.md", DOCS / "verdict-cells.md"
ERROR = 0.0015  # wanted standard error of a paired difference


def ranks_table(found: Scores, names: Sequence[str], head: str, blocks: Sequence[tuple[str, str]], title: str) -> str:
    """Return the ranking of strategies on one head, and Friedman's test above."""
    of_blocks = compared(found, names, head, blocks)
    if not of_blocks.values:
        return f"{title}: no block has two seeds of all strategies yet."
    ranking = rank_blocks(of_blocks)
    seeds = sorted({len(rows) for rows in of_blocks.values})
    text = f"{title}, {' or '.join(map(str, seeds))} seeds each. {escape(ranking_sentence(ranking))}"
    return f"{text}\n\n{markdown(ranking_table(ranking))}"


def effects_table(effects: Sequence[tuple[str, Effect | None]]) -> str:
    """Return effects with their intervals."""
    columns = ["choice", "budget", "difference of AUBC [95%]", "blocks above 0", "pairs of runs"]
    lines = [
        [
            one.name,
            budget,
            with_interval(one.estimate, signed),
            f"{one.positive} of {one.num_blocks}",
            f"{one.num_runs:,}",
        ]
        for budget, one in effects
        if one is not None
    ]
    return markdown(Table("", columns, lines))


def choices(found: Scores) -> Iterator[tuple[str, str]]:
    """Yield the name of each table of effects, and the table."""
    named = [*budgets()]
    yield (
        "head",
        effects_table([(budget, effect("prototype head", found, pairs_of_heads(blocks))) for budget, blocks in named]),
    )
    for kind, rows_of in (("uncertainty", UNCERTAINTY), ("diversity", DIVERSITY)):
        yield (
            kind,
            effects_table(
                [
                    (budget, effect(name, found, pairs_of_rows(rows, heads, blocks)))
                    for name, (rows, heads) in rows_of.items()
                    for budget, blocks in named
                ]
            ),
        )


def initial_tables(lines: Sequence[Line], found: Scores) -> Iterator[tuple[str, str]]:
    """Yield the table of accuracies with one label a class, and of the effect on the whole curve."""
    first: dict[Cell, dict[int, float]] = {}
    for line in lines:
        first.setdefault(line.run.cell, {})[line.run.seed] = line.accuracy[0]
    columns = ["feature set", "Random", "TypiClust", "MaxHerding", "TypiClust − Random", "MaxHerding − Random"]
    rows = []
    for name in SMALL:
        cells = [(name, "low", "prototype", "Random", initial) for initial in ("Random", "TypiClust", "MaxHerding")]
        values = values_of(first, cells)
        if len(values) < 2:
            continue
        apart = [values[:, k] - values[:, 0] for k in (1, 2)]
        rows.append([name, *(with_error(values[:, k], 3) for k in range(3)), *(f"+{with_error(x, 3)}" for x in apart)])
    yield "initial", markdown(Table("", columns, rows)).replace("+-", "−")
    yield (
        "initial-curve",
        effects_table(
            [
                ("low", effect(f"{initial} as initial set, then {row}", found, pairs_of_initial_sets(initial, row)))
                for initial in ("TypiClust", "MaxHerding")
                for row in PARTS["initial"].rows
            ]
        ),
    )


def with_error(values: NDArray[np.float64], digits: int) -> str:
    """Return mean ± standard error."""
    return f"{values.mean():.{digits}f} ± {error(values):.4f}"


def difference(values: NDArray[np.float64]) -> str:
    """Return a mean difference with its sign ± standard error."""
    return f"{signed(float(values.mean()))} ± {error(values):.4f}"


def error(values: NDArray[np.float64]) -> float:
    """Return the standard error of the mean."""
    return float(values.std(ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else math.nan


def cells_page(lines: Sequence[Line], found: Scores) -> str:
    """Return every cell with its standard error, alone and paired against Random."""
    parts = [
        "# The verdict: all cells",
        "Written by `python -m benchmarks.verdict.page` from `verdict.csv.xz`; [verdict.md](verdict.md) explains it. "
        f"*for {ERROR}*: number of seeds at which the standard error of the paired difference is {ERROR}. "
        "*for 0.005*: number of seeds at which a paired t-test finds a difference of 0.005 with a probability of 0.8. "
        "*labels saved*: how many labels fewer than Random the mean curve needs for Random's final accuracy; "
        f"{NONE} not reached, −∞ not reached in all draws of seeds.",
    ]
    curves = curves_of(lines)
    for budget, head in ((budget, head) for budget in ("low", "high") for head in HEADS):
        for name in dict.fromkeys(cell[0] for cell in found):
            rows = [
                _cell_row(found, curves, cell)
                for cell in found
                if (cell[0], cell[1], cell[2]) == (name, budget, head) and len(found[cell]) > 1
            ]
            if rows:
                columns = ["strategy", "initial set", "seeds", "AUBC", "minus Random", f"for {ERROR}", "for 0.005"]
                columns.append("labels saved [95%]")
                parts += [f"## {name}, {budget} budget, {head} head", markdown(Table("", columns, rows))]
    return "\n\n".join(parts) + "\n"


def _cell_row(found: Scores, curves: Mapping[Cell, Mapping[int, Line]], cell: Cell) -> list[str]:
    own = np.array([*found[cell].values()])
    row = [cell[3], cell[4], str(len(own)), with_error(own, 4)]
    if cell[3:] == ("Random", "Random"):
        return [*row, *[NONE] * 4]
    random = (*cell[:3], "Random", "Random")
    both = values_of(found, [cell, random])
    apart = both[:, 0] - both[:, 1]
    if len(apart) < 2:
        return [*row, *[NONE] * 4]
    std = float(apart.std(ddof=1))
    needed = seeds_needed(std)
    return [
        *row,
        difference(apart),
        str(math.ceil((std / ERROR) ** 2)),
        NONE if needed is None else str(needed),
        with_interval(saved(curves, Pair(cell, random)), as_labels),
    ]


def seconds_table(lines: Sequence[Line]) -> str:
    """Return the median and the largest duration of a run by strategy."""
    small = [line for line in lines if line.run.feature_set in SMALL]
    names = dict.fromkeys(line.run.row for line in small)
    rows = []
    for name in names:
        seconds = np.array([line.seconds for line in small if line.run.row == name])
        rows.append([name, str(len(seconds)), f"{np.median(seconds):.1f}", f"{np.quantile(seconds, 0.95):.1f}"])
    return markdown(Table("", ["strategy", "runs", "seconds, median", "95th percentile"], rows))


def progress_table(lines: Sequence[Line]) -> str:
    """Return how many runs of each part are in the table."""
    done = {line.run for line in lines}
    rows = []
    for name, part in PARTS.items():
        wanted = {*runs_of(part)}
        rows.append([name, f"{len(wanted & done):,}", f"{len(wanted):,}", str(part.seeds)])
    rows.append(["all", f"{len(done):,}", f"{sum(1 for _ in runs()):,}", ""])
    return markdown(Table("", ["part", "runs in the table", "runs planned", "seeds planned"], rows))


def tables(lines: Sequence[Line], found: Scores) -> Mapping[str, str]:
    """Return all tables of the page by name."""
    all_rows = [*BOTH_HEADS, *OTHERS]
    low = [block for block in BLOCKS if block[1] == "low"]
    whole = [(name, "low") for name in PARTS["whole"].sets]
    return {
        "progress": progress_table(lines),
        "said": conclusions(found),
        "ranks-linear": ranks_table(found, strategies_of("linear"), "linear", BLOCKS, "Linear head"),
        "ranks-prototype": ranks_table(found, strategies_of("prototype"), "prototype", BLOCKS, "Prototype head"),
        "ranks-others": ranks_table(found, all_rows, "linear", low, "All strategies, linear head, low budget"),
        "whole": ranks_table(found, [*PARTS["whole"].rows], "prototype", whole, "Pools of 60,000"),
        **dict(choices(found)),
        **dict(initial_tables(lines, found)),
        "seconds": seconds_table(lines),
    }


def main() -> None:
    """Write the page, the cells and the figures."""
    matplotlib.use("agg")
    lines = read_table()
    found = scores(lines)
    write_atomically(CELLS, cells_page(lines, found))
    draw_all(lines, found, DOCS)
    write_atomically(PAGE, fill(PAGE, tables(lines, found)))
    print(f"{len(lines):,} runs: wrote {PAGE.name}, {CELLS.name} and the figures in {DOCS}")


if __name__ == "__main__":
    main()
