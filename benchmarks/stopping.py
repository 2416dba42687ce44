"""What stopping criteria cost: ``python -m benchmarks.stopping run --data verdict-data`` makes docs/stopping.csv.

Each run goes to its full budget and notes where each criterion would have ended it. Without ``run`` the command
rewrites the table of docs/forecast.md. Features: see benchmarks/verdict/data.py.
"""

import argparse
import csv
import io
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.marks import fill
from msal_lightning.analysis.report.formats.markdown import table as markdown
from msal_lightning.analysis.report.tables import Table
from msal_lightning.io.atomic import write_atomically
from msal_lightning.runs.records import RoundRecord, read_records
from msal_lightning.stopping import (
    ClassificationChange,
    CostOptimum,
    KappaAgreement,
    Look,
    OverallUncertainty,
    Plateau,
    StoppingCriterion,
)
from msal_lightning.sweep.verdict import SETS, Run

DOCS = Path(__file__).parents[1] / "docs"
TABLE, PAGE = DOCS / "stopping.csv", DOCS / "forecast.md"
NAMES, ROWS, SEEDS, TIMES = ("clipart", "digits", "mnist", "fashion_mnist"), ("Random", "Margin"), 5, 100
PRICES = (3_000, 10_000, 30_000)  # of an error rate of 1, in labels
CRITERIA: dict[str, StoppingCriterion] = {
    "Plateau": Plateau(),
    "KappaAgreement": KappaAgreement(),
    "KappaAgreement 0.95": KappaAgreement(0.95),
    "ClassificationChange": ClassificationChange(),
    "ClassificationChange 0.05": ClassificationChange(0.05),
    "OverallUncertainty": OverallUncertainty(),
    **{f"CostOptimum {price:,}": CostOptimum(1.0, price) for price in PRICES},
}


@dataclass(frozen=True)
class Line:
    """A run.

    Attributes:
        name: feature set.
        row: strategy.
        seed: its seed.
        labels: number of labels in each round.
        accuracy: accuracy in each round.
        stops: round in which each criterion ends it; the last one if it does not.
    """

    name: str
    row: str
    seed: int
    labels: tuple[int, ...]
    accuracy: tuple[float, ...]
    stops: dict[str, int]

    def cost(self, round: int, price: float) -> float:
        """Cost of an end with a round: its labels, and the price of its errors."""
        return self.labels[round] + price * (1 - self.accuracy[round])

    def regret(self, round: int, price: float) -> float:
        """How much more an end costs than the best one, as a share of that."""
        best = min(self.cost(k, price) for k in range(len(self.labels)))
        return self.cost(round, price) / best - 1


def sweep(name: str, data: Path, out: Path) -> None:
    """Run a feature set with a stop set that ends nothing."""
    sizes = {
        key: times * SETS[name].num_classes for key, times in (("initial", 5), ("query", 5), ("budget", TIMES - 5))
    }
    words = Run(name, "", "linear", "", "Random", 0).arguments(str(data))[:-2]
    words += ("--model.head", "linear", "--query", ",".join(ROWS), "--seed", ",".join(map(str, range(SEEDS))))
    words += ("--loop.stop", "KappaAgreement", "--loop.stop.kappa", "1", "--loop.stop.rounds", "1000")
    words += ("--loop.initial_size", str(sizes["initial"]), "--loop.query_size", str(sizes["query"]))
    words += ("--loop.query_budget", str(sizes["budget"]), "--executor", "warm", "--jobs", "2", "--out", str(out))
    subprocess.run([sys.executable, "-m", "msal_lightning", "sweep", *words], check=True)


def line_of(name: str, row: str, seed: int, records: Sequence[RoundRecord]) -> Line:
    """Return where each criterion ends a run."""
    looks = [Look(r.num_labeled, r.accuracy, r.num_test, r.stop_set) for r in records]
    last = len(looks) - 1
    stops = {
        title: next((k for k in range(last) if criterion.reason(looks[: k + 1])), last)
        for title, criterion in CRITERIA.items()
    }
    return Line(name, row, seed, tuple(r.num_labeled for r in records), tuple(r.accuracy for r in records), stops)


def run(data: Path) -> None:
    """Run all sets and write the table."""
    lines = []
    for name in NAMES:
        with tempfile.TemporaryDirectory() as folder:
            sweep(name, data, Path(folder))
            for row in ROWS:
                for seed in range(SEEDS):
                    (found,) = Path(folder).glob(f"*-{row}-seed{seed}")
                    lines.append(line_of(name, row, seed, read_records(found)))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["feature_set", "strategy", "seed", "labels", "accuracy", *CRITERIA])
    for line in lines:
        values = " ".join(map(str, line.labels)), " ".join(f"{a:.4f}" for a in line.accuracy)
        writer.writerow([line.name, line.row, line.seed, *values, *line.stops.values()])
    write_atomically(TABLE, text.getvalue())


def read() -> Iterator[Line]:
    """Read the table."""
    with TABLE.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            labels, accuracy = (row[name].split() for name in ("labels", "accuracy"))
            stops = {title: int(row[title]) for title in CRITERIA}
            yield Line(
                row["feature_set"], row["strategy"], int(row["seed"]),
                tuple(map(int, labels)), tuple(map(float, accuracy)), stops,
            )  # fmt: skip


def regret_table(lines: Sequence[Line]) -> str:
    """Return where criteria stop, what accuracy that leaves out, and their regret at each price."""
    last = len(lines[0].labels) - 1
    rows = []
    for title in ("never", *CRITERIA):
        ends = [last if title == "never" else line.stops[title] for line in lines]
        ended = np.mean([end < last for end in ends])
        share = np.median([line.labels[end] / line.labels[-1] for line, end in zip(lines, ends, strict=True)])
        lost = np.mean([line.accuracy[-1] - line.accuracy[end] for line, end in zip(lines, ends, strict=True)])
        regrets = [
            np.mean([line.regret(end, price) for line, end in zip(lines, ends, strict=True)]) for price in PRICES
        ]
        rows.append([title, f"{ended:.0%}", f"{share:.0%}", f"{100 * lost:.1f}", *(f"{r:.0%}" for r in regrets)])
    columns = ["criterion", "runs that it ends", "labels of the budget, median", "points of accuracy left out"]
    return markdown(Table("", [*columns, *(f"regret at {price:,}" for price in PRICES)], rows))


def main() -> None:
    """Run, or rewrite the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", nargs="?", choices=("run", "page"), default="page")
    parser.add_argument("--data", type=Path, default=Path("verdict-data"), help="folder of the feature sets")
    options = parser.parse_args()
    if options.command == "run":
        run(options.data)
    write_atomically(PAGE, fill(PAGE, {"stopping": regret_table([*read()])}))


if __name__ == "__main__":
    main()
