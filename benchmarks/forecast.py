"""Tests the forecast of labels on the curves of the verdict, and chooses its priors: ``python -m benchmarks.forecast``.

Each curve is cut after 4 to 7 of its ten rounds; the rest is the truth. Priors are chosen on all feature sets but one
and tested on that one. Rewrites the tables of docs/forecast.md and the reliability diagram.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from rich.progress import track

from benchmarks.marks import fill
from benchmarks.reproduction import table as reproduction
from benchmarks.verdict.table import Line, read_table
from msal_lightning.analysis.report.formats.markdown import table as markdown
from msal_lightning.analysis.report.tables import Table
from msal_lightning.analysis.stats.savings import first_reached
from msal_lightning.io.atomic import write_atomically
from msal_lightning.stopping.forecast import LEVEL, CurveForecast, Priors

DOCS = Path(__file__).parents[1] / "docs"
PAGE, FIGURE = DOCS / "forecast.md", DOCS / "forecast.png"
ROUNDS, GAINS, DRAWS = (4, 5, 6, 7), (0.01, 0.02, 0.04), 300
PER_CELL = 100  # curves of a feature set and budget, the first ones of all strategies in turn
GRID = [
    Priors(noise=noise, weight=weight, recent=recent)
    for noise, weight, recent in itertools.product((0.02, 0.03, 0.04), (1.0, 2.0), (0.5, 1.0, 2.0))
]


class Case(NamedTuple):
    """One forecast.

    Attributes:
        feature_set: name of the feature set.
        rounds: number of rounds that the forecast saw.
        gain: target above the best accuracy so far.
        is_reached: whether the run reaches the target.
        low: share of draws before the truth; before the run's end if the target is not reached.
        high: the same if it is reached, otherwise 1: the truth lies anywhere beyond.
        error: of the median, as a share of the truth; NaN where the target is not reached.
    """

    feature_set: str
    rounds: int
    gain: float
    is_reached: bool
    low: float
    high: float
    error: float

    def within(self, level: float) -> float:
        """Return whether the truth lies below a quantile; its probability if the truth is only known to be late."""
        if self.high <= self.low:
            return float(self.low <= level)
        return min(1.0, max(0.0, (level - self.low) / (self.high - self.low)))

    @property
    def is_covered(self) -> float:
        """Whether the interval holds the truth, or the probability of it."""
        return self.within(0.5 + LEVEL / 2) - self.within(0.5 - LEVEL / 2)


def name_of(line: Line) -> str:
    """Return the feature set; the whole pools are no sets of their own."""
    return line.run.feature_set.removesuffix("_whole")


def curves() -> list[Line]:
    """Return the curves: of each feature set and budget as many, of the first seeds."""
    cells: dict[tuple[str, str], list[Line]] = {}
    for line in sorted(read_table(), key=lambda line: (line.run.seed, line.run.row, line.run.head)):
        cells.setdefault((line.run.feature_set, line.run.budget), []).append(line)
    return [line for lines in cells.values() for line in lines[:PER_CELL]]


def cases(line: Line, priors: Priors) -> Iterator[Case]:
    """Yield the forecasts of a curve of the verdict."""
    return cut(name_of(line), line.labels, line.accuracy, line.num_test, priors, ROUNDS, GAINS)


def cases_of_networks() -> list[Case]:
    """Return the forecasts of the whole runs on MNIST, whose network is trained from scratch."""
    runs = [line for line in reproduction.read_table() if line.is_whole]
    rounds, gains = (8, 12, 16, 24), (0.001, 0.002, 0.004)
    return [
        c for line in runs for c in cut(line.row, line.labels, line.accuracy, 10_000, Priors(), rounds, gains)
    ]  # fmt: skip


def cut(
    name: str,
    labels: Sequence[int],
    accuracy: Sequence[float],
    num_test: int,
    priors: Priors,
    after: Sequence[int],
    gains: Sequence[float],
) -> Iterator[Case]:
    """Yield the forecasts of a curve that is cut after some of its rounds."""
    for rounds in after:
        found = CurveForecast(labels[:rounds], accuracy[:rounds], num_test, priors, DRAWS)
        for gain in gains:
            target = max(accuracy[:rounds]) + gain
            if target >= 1:
                continue
            drawn = found.reached(target)
            rest = [*zip(labels[rounds - 1 :], accuracy[rounds - 1 :], strict=True)]
            truth = first_reached(rest, target)
            if truth is None:
                before = float((drawn <= labels[-1]).mean())
                yield Case(name, rounds, gain, False, before, 1.0, math.nan)
                continue
            place = float(((drawn < truth).mean() + (drawn <= truth).mean()) / 2)
            median = float(np.quantile(drawn, 0.5, method="nearest"))
            error = abs(median - truth) / truth if math.isfinite(median) else 1.0
            yield Case(name, rounds, gain, True, place, place, error)


def coverage(found: Sequence[Case]) -> float:
    """Return the share of intervals that hold the truth."""
    return float(np.mean([case.is_covered for case in found]))


def error(found: Sequence[Case]) -> float:
    """Return the median error of the median."""
    return float(np.median([case.error for case in found if case.is_reached]))


def loss(found: Sequence[Case]) -> float:
    """Return the mean squared distance of the feature sets' coverage from the level: what the priors are chosen by."""
    return float(np.mean([(coverage(of) - LEVEL) ** 2 for of in _by_set(found).values()]))


def _by_set(found: Sequence[Case]) -> dict[str, list[Case]]:
    sets: dict[str, list[Case]] = {}
    for case in found:
        sets.setdefault(case.feature_set, []).append(case)
    return sets


def best(results: dict[Priors, list[Case]], without: str = "") -> Priors:
    """Return the priors with the smallest loss on all feature sets but one."""
    return min(results, key=lambda priors: loss([case for case in results[priors] if case.feature_set != without]))


def _row(name: str, found: Sequence[Case], priors: Priors | None = None) -> list[str]:
    chosen = f"{priors.noise:g}, {priors.weight:g}, {priors.recent:g}" if priors else ""
    reached = np.mean([case.is_reached for case in found])
    return [name, f"{len(found):,}", f"{reached:.0%}", f"{coverage(found):.1%}", f"{error(found):.1%}", chosen]


def tables(results: dict[Priors, list[Case]], tested: Sequence[Case]) -> dict[str, str]:
    """Return the tables of the page."""
    columns = ["left out", "forecasts", "reached in the run", f"held by the {LEVEL:.0%} interval", "median error"]
    sets = _by_set(tested)
    left_out = [_row(name, of, best(results, name)) for name, of in sorted(sets.items())]
    by_rounds = [_row(str(k), [case for case in tested if case.rounds == k])[:-1] for k in ROUNDS]
    by_gain = [_row(f"+{100 * g:g}", [case for case in tested if case.gain == g])[:-1] for g in GAINS]
    networks = [_row(name, of)[:-1] for name, of in _by_set(cases_of_networks()).items()]
    return {
        "networks": markdown(Table("", ["strategy", *columns[1:]], networks)),
        "left-out": markdown(Table("", [*columns, "noise, weight, recent"], left_out)),
        "rounds": markdown(Table("", ["rounds seen", *columns[1:]], by_rounds)),
        "gain": markdown(Table("", ["target, points", *columns[1:]], by_gain)),
    }


def draw(tested: Sequence[Case], file: Path) -> None:
    """Draw the reliability diagram."""
    levels = np.linspace(0.05, 0.95, 19)
    figure, axes = plt.subplots(figsize=(5, 4.6), layout="constrained")
    axes.plot([0, 1], [0, 1], color="#999999", linewidth=1)
    colours = ("#0072b2", "#d55e00", "#00805d", "#b0518c", "#b07a00")
    for (name, of), colour in zip(sorted(_by_set(tested).items()), colours, strict=True):
        shares = [np.mean([case.within(level) for case in of]) for level in levels]
        axes.plot(levels, shares, marker="o", markersize=3, linewidth=1.2, color=colour, label=name)
    axes.set(
        xlabel="probability, by the forecast, that so many labels are enough",
        ylabel="share of runs in which they were",
        xlim=(0, 1), ylim=(0, 1), aspect="equal",
        title="Labels to an accuracy, each feature set left out",
    )  # fmt: skip
    axes.title.set_fontsize("medium")
    axes.grid(alpha=0.3, linewidth=0.5)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize="small")
    figure.savefig(file, dpi=150)
    plt.close(figure)


def main() -> None:
    """Choose, test, and rewrite the page."""
    mpl.use("agg")
    lines = curves()
    results = {priors: [c for line in lines for c in cases(line, priors)] for priors in track(GRID)}
    names = sorted({name_of(line) for line in lines})
    tested = [c for name in names for c in results[best(results, name)] if c.feature_set == name]
    write_atomically(PAGE, fill(PAGE, tables(results, tested)))
    draw(tested, FIGURE)
    chosen = best(results)
    print(f"{len(lines)} curves; chosen on all sets: {chosen} (loss {loss(results[chosen]):.5f})")
    for name in names:
        of = [c for c in tested if c.feature_set == name]
        print(f"{name}: {coverage(of):.3f} held, median error {error(of):.3f}")
    if chosen != Priors():
        print("the shipped priors are others: change the defaults of Priors")


if __name__ == "__main__":
    main()
