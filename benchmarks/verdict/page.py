"""Rebuild the figures of docs/verdict.md, and the tables between its marks, from the table of all runs.

python -m benchmarks.verdict.page
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np
from numpy.typing import NDArray

from benchmarks.verdict.choices import (
    BLOCKS,
    DIVERSITY,
    HEADS,
    UNCERTAINTY,
    budgets,
    pairs_of_heads,
    pairs_of_initial_sets,
    pairs_of_rows,
)
from benchmarks.verdict.effects import Effect, Scores, effect, scores
from benchmarks.verdict.figures import draw_all
from benchmarks.verdict.table import Line, cell_of, read_table
from msal_lightning.analysis.report.formats.markdown import table as markdown
from msal_lightning.analysis.report.tables import NONE, Table, p_value, signed
from msal_lightning.analysis.stats.estimates import Estimate
from msal_lightning.analysis.stats.power import seeds_needed
from msal_lightning.analysis.stats.ranks import critical_difference, friedman, wilcoxon_holm
from msal_lightning.analysis.stats.standings import standings
from msal_lightning.io.atomic import write_atomically
from msal_lightning.sweep.verdict import BOTH_HEADS, OTHERS, PARTS, PROTOTYPES, SMALL, runs, runs_of

DOCS = Path(__file__).parents[2] / "docs"
PAGE, CELLS = DOCS / "verdict.md", DOCS / "verdict-cells.md"
ERROR = 0.0015  # wanted standard error of a paired difference


def values_of(found: Scores, cells: Sequence[tuple[str, str, str, str, str]]) -> NDArray[np.float64]:
    """Return AUBC by seed and cell at the seeds that all have: (S, K)."""
    seeds = sorted(set.intersection(*({*found.get(cell, {})} for cell in cells)))
    return np.array([[found[cell][seed] for cell in cells] for seed in seeds]).reshape(len(seeds), len(cells))


def strategies_of(head: str) -> list[str]:
    """Return the core strategies of a head."""
    return [*BOTH_HEADS, *(PROTOTYPES if head == "prototype" else ())]


def ranked(
    found: Scores, names: Sequence[str], head: str, blocks: Sequence[tuple[str, str]]
) -> list[NDArray[np.float64]]:
    """Return the values of strategies on one head, for each block that has two seeds of all."""
    values = (values_of(found, [(*block, head, name, "Random") for name in names]) for block in blocks)
    return [block for block in values if len(block) > 1]


def ranks_table(found: Scores, names: Sequence[str], head: str, blocks: Sequence[tuple[str, str]], title: str) -> str:
    """Return mean ranks and each strategy against Random, and Friedman's test below."""
    values = ranked(found, names, head, blocks)
    if not values:
        return f"{title}: no block has two seeds of all strategies yet."
    rows = np.stack([block.mean(axis=0) for block in values])
    test, p = friedman(rows), wilcoxon_holm(rows)
    columns = ["strategy", "mean rank", "wins–losses", "difference [95%]", "in deviations [95%]", "p (Holm)", "seeds"]
    lines = []
    for one in standings([*names], values, "Random"):
        cells = [one.name, f"{one.mean_rank:.2f}"]
        if one.difference is None or one.effect is None:
            lines.append([*cells, *[NONE] * 5])
            continue
        own = float(p[[*names].index(one.name), [*names].index("Random")])
        lines.append(
            [
                *cells,
                f"{one.wins}–{one.losses}",
                interval(one.difference),
                interval(one.effect, 2),
                NONE if math.isnan(own) else p_value(own),
                NONE if one.seeds_needed is None else str(one.seeds_needed),
            ]
        )
    seeds = sorted({len(block) for block in values})
    about = f"{len(values)} blocks, {' or '.join(map(str, seeds))} seeds each"
    said = "" if test is None else f" Friedman's χ² = {test.chi_square:.1f}, p {_p(test.p)};"
    distance = critical_difference(len(names), len(values))
    text = f"{title}: {about}.{said} mean ranks differ by Nemenyi's test from {distance:.2f} on."
    return f"{text}\n\n{markdown(Table('', columns, lines))}"


def _p(value: float) -> str:
    return f"= {p_value(value)}".replace("= <", "<")


def interval(value: Estimate, digits: int = 4) -> str:
    """Return an estimate with its interval."""
    numbers = [f"{number:+.{digits}f}".replace("-", "−") for number in (value.value, value.low, value.high)]
    return f"{numbers[0]} [{numbers[1]}, {numbers[2]}]"


def effects_table(effects: Sequence[tuple[str, Effect | None]]) -> str:
    """Return effects with their intervals."""
    columns = ["choice", "budget", "difference of AUBC [95%]", "blocks above 0", "pairs of runs"]
    lines = [
        [one.name, budget, interval(one.estimate), f"{one.positive} of {one.num_blocks}", f"{one.num_runs:,}"]
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
    first: dict[tuple[str, str, str, str, str], dict[int, float]] = {}
    for line in lines:
        first.setdefault(line.cell, {})[line.seed] = line.correct[0] / line.num_test
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


def error(values: NDArray[np.float64]) -> float:
    """Return the standard error of the mean."""
    return float(values.std(ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else math.nan


def cells_page(found: Scores) -> str:
    """Return every cell with its standard error, alone and paired against Random."""
    parts = [
        "# The verdict: all cells",
        "Written by `python -m benchmarks.verdict.page` from `verdict.csv.xz`; [verdict.md](verdict.md) explains it. "
        f"*for {ERROR}*: number of seeds at which the standard error of the paired difference is {ERROR}. "
        "*for 0.005*: number of seeds at which a paired t-test finds a difference of 0.005 with a probability of 0.8.",
    ]
    for budget, head in ((budget, head) for budget in ("low", "high") for head in HEADS):
        for name in dict.fromkeys(cell[0] for cell in found):
            rows = [
                _cell_row(found, cell)
                for cell in found
                if (cell[0], cell[1], cell[2]) == (name, budget, head) and len(found[cell]) > 1
            ]
            if rows:
                columns = ["strategy", "initial set", "seeds", "AUBC", "minus Random", f"for {ERROR}", "for 0.005"]
                parts += [f"## {name}, {budget} budget, {head} head", markdown(Table("", columns, rows))]
    return "\n\n".join(parts) + "\n"


def _cell_row(found: Scores, cell: tuple[str, str, str, str, str]) -> list[str]:
    own = np.array([*found[cell].values()])
    row = [cell[3], cell[4], str(len(own)), with_error(own, 4)]
    if cell[3:] == ("Random", "Random"):
        return [*row, *[NONE] * 3]
    both = values_of(found, [cell, (*cell[:3], "Random", "Random")])
    apart = both[:, 0] - both[:, 1]
    if len(apart) < 2:
        return [*row, *[NONE] * 3]
    std = float(apart.std(ddof=1))
    needed = seeds_needed(std)
    return [
        *row,
        f"{signed(float(apart.mean()))} ± {error(apart):.4f}",
        str(math.ceil((std / ERROR) ** 2)),
        NONE if needed is None else str(needed),
    ]


def seconds_table(lines: Sequence[Line]) -> str:
    """Return the median and the largest duration of a run by strategy."""
    names = dict.fromkeys(line.row for line in lines if not line.feature_set.endswith("_whole"))
    rows = []
    for name in names:
        seconds = np.array([x.seconds for x in lines if x.row == name and not x.feature_set.endswith("_whole")])
        rows.append([name, str(len(seconds)), f"{np.median(seconds):.1f}", f"{np.quantile(seconds, 0.95):.1f}"])
    return markdown(Table("", ["strategy", "runs", "seconds, median", "95th percentile"], rows))


def progress_table(lines: Sequence[Line]) -> str:
    """Return how many runs of each part are in the table."""
    done = {(line.cell, line.seed) for line in lines}
    rows = []
    for name, part in PARTS.items():
        wanted = {(cell_of(run), run.seed) for run in runs_of(part)}
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
        "ranks-linear": ranks_table(found, strategies_of("linear"), "linear", BLOCKS, "Linear head"),
        "ranks-prototype": ranks_table(found, strategies_of("prototype"), "prototype", BLOCKS, "Prototype head"),
        "ranks-others": ranks_table(found, all_rows, "linear", low, "All strategies, linear head, low budget"),
        "whole": ranks_table(found, [*PARTS["whole"].rows], "prototype", whole, "Pools of 60,000"),
        **dict(choices(found)),
        **dict(initial_tables(lines, found)),
        "seconds": seconds_table(lines),
    }


def fill(text: str, parts: Mapping[str, str]) -> str:
    """Replace what stands between the marks of each table."""
    for name, content in parts.items():
        mark = rf"(<!-- {re.escape(name)} -->).*?(<!-- end -->)"
        if len(re.findall(mark, text, re.DOTALL)) != 1:
            raise SystemExit(f"expected the mark '<!-- {name} -->' once in {PAGE}, and '<!-- end -->' below: add it")
        text = re.sub(
            mark, lambda match, content=content: f"{match[1]}\n\n{content}\n\n{match[2]}", text, flags=re.DOTALL
        )
    return text


def main() -> None:
    """Write the page, the cells and the figures."""
    matplotlib.use("agg")
    lines = read_table()
    found = scores(lines)
    write_atomically(CELLS, cells_page(found))
    draw_all(lines, found, DOCS)
    write_atomically(PAGE, fill(PAGE.read_text(encoding="utf-8"), tables(lines, found)))
    print(f"{len(lines):,} runs: wrote {PAGE.name}, {CELLS.name} and the figures in {DOCS}")


if __name__ == "__main__":
    main()
