"""The table of all runs of the verdict: ``docs/verdict.csv.xz``, a line for each run.

    python -m benchmarks.verdict.table runs/verdict

adds the finished runs of a sweep to the table; runs that it has already stay as they are, and must not differ.
"""

import argparse
import csv
import hashlib
import io
import lzma
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from rich.progress import track

from msal_lightning.io.atomic import write_atomically
from msal_lightning.runs.records import read_records
from msal_lightning.sweep.grid import run_folder
from msal_lightning.sweep.verdict import Run, runs

TABLE = Path(__file__).parents[2] / "docs" / "verdict.csv.xz"


@dataclass(frozen=True)
class Line:
    """A finished run.

    Attributes:
        feature_set: name of the feature set.
        budget: low or high.
        head: head of the model.
        row: name of the strategy.
        initial: strategy of the initial set.
        seed: seed of the run.
        labels: number of labels in each round.
        correct: number of correct test images in each round.
        num_test: number of test images.
        seconds: duration of the run, tenths.
        ledger: digest of ledger.csv, the labels in the order in which they were queried.
    """

    feature_set: str
    budget: str
    head: str
    row: str
    initial: str
    seed: int
    labels: tuple[int, ...]
    correct: tuple[int, ...]
    num_test: int
    seconds: float
    ledger: str

    @property
    def cell(self) -> tuple[str, str, str, str, str]:
        """All but the seed."""
        return self.feature_set, self.budget, self.head, self.row, self.initial

    @property
    def curve(self) -> dict[int, float]:
        """Accuracy by number of labels."""
        return {n: correct / self.num_test for n, correct in zip(self.labels, self.correct, strict=True)}


def read_table(file: Path = TABLE) -> list[Line]:
    """Read the table; empty if there is none."""
    if not file.exists():
        return []
    with lzma.open(file, "rt", encoding="utf-8", newline="") as text:
        return [_line(row) for row in csv.DictReader(text)]


def _line(row: dict[str, str]) -> Line:
    counts = {name: tuple(map(int, row[name].split())) for name in ("labels", "correct")}
    numbers = {"seed": int(row["seed"]), "num_test": int(row["num_test"]), "seconds": float(row["seconds"])}
    return Line(**{**row, **counts, **numbers})  # type: ignore[arg-type]


def write_table(lines: Iterable[Line], file: Path = TABLE) -> None:
    """Write the table, sorted, so that equal lines give equal bytes."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [f.name for f in fields(Line)], lineterminator="\n")
    writer.writeheader()
    for line in sorted(lines, key=lambda line: (*line.cell, line.seed)):
        row = asdict(line)
        writer.writerow(row | {name: " ".join(map(str, row[name])) for name in ("labels", "correct")})
    write_atomically(file, lzma.compress(text.getvalue().encode(), preset=9 | lzma.PRESET_EXTREME))


def finished(out: Path, wanted: Iterable[Run]) -> Iterator[Line]:
    """Yield the finished runs below the folder of a sweep."""
    for run in wanted:
        folder = out / run_folder(run)
        if not (folder / "ledger.csv").exists():
            continue
        records = read_records(folder)
        if len(records) < 10:
            continue
        correct = tuple(round(record.accuracy * record.num_test) for record in records)
        ledger = hashlib.blake2s((folder / "ledger.csv").read_bytes(), digest_size=6).hexdigest()
        seconds = round(sum(sum(record.seconds.values()) for record in records), 1)
        labels = tuple(record.num_labeled for record in records)
        cell = run.feature_set, run.budget, run.head, run.row, run.initial
        yield Line(*cell, run.seed, labels, correct, records[0].num_test, seconds, ledger)


def main() -> None:
    """Add finished runs to the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="folder of `sweep verdict`")
    parser.add_argument("--table", type=Path, default=TABLE, help="the table")
    options = parser.parse_args()
    lines = {(line.cell, line.seed): line for line in read_table(options.table)}
    before = len(lines)
    wanted = [run for run in runs() if (cell_of(run), run.seed) not in lines]
    for line in finished(options.out, track(wanted)):
        lines[line.cell, line.seed] = line
    write_table(lines.values(), options.table)
    print(f"{len(lines) - before} of {len(wanted)} missing runs added; the table has {len(lines)}")


def cell_of(run: Run) -> tuple[str, str, str, str, str]:
    """Return all of a run but its seed and options."""
    return run.feature_set, run.budget, run.head, run.row, run.initial


if __name__ == "__main__":
    main()
