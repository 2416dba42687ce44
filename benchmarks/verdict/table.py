"""The table of all runs of the verdict: ``docs/verdict.csv.xz``, a line for each run.

    python -m benchmarks.verdict.table runs/verdict

adds the finished runs of a sweep to the table; runs that it has already stay as they are. It refuses a sweep whose runs
differ from those of the table, and runs with different first models where the protocol has the same one: they come from
other feature sets, such as those that another processor has computed.
"""

import argparse
import csv
import hashlib
import io
import itertools
import lzma
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.progress import track

from msal_lightning.io.atomic import write_atomically
from msal_lightning.runs.records import read_records
from msal_lightning.sweep.grid import run_folder
from msal_lightning.sweep.verdict import Run, runs

_CELL = ("feature_set", "budget", "head", "row", "initial")  # columns of Run.cell
TABLE = Path(__file__).parents[2] / "docs" / "verdict.csv.xz"
DIGESTS = {
    "clipart": "35241a80443d22f1123464e159577197",
    "stamps": "dab46178d77f3f27f97e9a80b977eae3",
    "digits": "783b027816cd76688edad1f5f8952f8e",
    "mnist": "465b9d0fb3ea76d7a3439ed03dff7e96",
    "fashion_mnist": "d46d7eb6e4c81ca6bcc821ffed229681",
    "mnist_whole": "8b6859811ec42b49c3742fcac7014992",
    "fashion_mnist_whole": "31b4fcf5b1bf50acc1622c256d4d246b",
}
"""Digest of each feature set of TABLE, as the records of its runs have it. A network's features differ in their last
digits from processor to processor, and then so do the runs."""


@dataclass(frozen=True)
class Line:
    """A finished run.

    Attributes:
        run: its place in the protocol.
        labels: number of labels in each round.
        correct: number of correct test images in each round.
        num_test: number of test images.
        seconds: duration of the run, in tenths of a second.
        ledger: digest of ledger.csv, the labels in the order in which they were queried.
    """

    run: Run
    labels: tuple[int, ...]
    correct: tuple[int, ...]
    num_test: int
    seconds: float
    ledger: str

    @property
    def accuracy(self) -> list[float]:
        """Accuracy in each round."""
        return [correct / self.num_test for correct in self.correct]


def read_table(file: Path = TABLE) -> list[Line]:
    """Read the table; empty if there is none."""
    if not file.exists():
        return []
    with lzma.open(file, "rt", encoding="utf-8", newline="") as text:
        return [_line(row) for row in csv.DictReader(text)]


def _line(row: dict[str, str]) -> Line:
    run = Run(*(row[name] for name in _CELL), int(row["seed"]))  # type: ignore[arg-type]
    labels, correct = (tuple(map(int, row[name].split())) for name in ("labels", "correct"))
    return Line(run, labels, correct, int(row["num_test"]), float(row["seconds"]), row["ledger"])


def write_table(lines: Iterable[Line], file: Path = TABLE) -> None:
    """Write the table, sorted, so that equal lines give equal bytes."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*_CELL, "seed", "labels", "correct", "num_test", "seconds", "ledger"])
    for line in sorted(lines, key=lambda line: (line.run.cell, line.run.seed)):
        counts = (" ".join(map(str, values)) for values in (line.labels, line.correct))
        writer.writerow([*line.run.cell, line.run.seed, *counts, line.num_test, line.seconds, line.ledger])
    write_atomically(file, lzma.compress(text.getvalue().encode(), preset=9 | lzma.PRESET_EXTREME))


def finished(out: Path, wanted: Iterable[Run], digests: Mapping[str, str]) -> Iterator[Line]:
    """Yield the finished runs below the folder of a sweep.

    Args:
        out: the folder.
        wanted: runs to look for.
        digests: wanted digest of each feature set; a set that is not in it may be any.

    Raises:
        SystemExit: a run is on another feature set.
    """
    for run in wanted:
        folder = out / run_folder(run)
        if not (folder / "ledger.csv").exists():
            continue
        records = read_records(folder)
        if len(records) < 10:
            continue
        digest = (records[0].data or {}).get("digest")
        if digest != digests.get(run.feature_set, digest):
            raise SystemExit(
                f"expected the feature set {digests[run.feature_set]} in '{folder}', got {digest}, which another "
                "machine or version has made: begin a new --table, whose runs are all on yours"
            )
        correct = tuple(round(record.accuracy * record.num_test) for record in records)
        ledger = hashlib.blake2s((folder / "ledger.csv").read_bytes(), digest_size=6).hexdigest()
        seconds = round(sum(sum(record.seconds.values()) for record in records), 1)
        labels = tuple(record.num_labeled for record in records)
        yield Line(run, labels, correct, records[0].num_test, seconds, ledger)


def check_same_start(lines: Iterable[Line]) -> None:
    """Check that all strategies have the same first model with the same seed, as a paired comparison needs.

    Raises:
        SystemExit: two runs differ.
    """

    def start(line: Line) -> tuple[str, str, str, str, int]:
        run = line.run
        return run.feature_set, run.budget, run.head, run.initial, run.seed

    for _, group in itertools.groupby(sorted(lines, key=start), start):
        first, *others = group
        for other in others:
            if other.correct[0] != first.correct[0]:
                raise SystemExit(
                    f"expected the same first model in {run_folder(first.run)} and {run_folder(other.run)}, got "
                    f"{first.correct[0]} and {other.correct[0]} correct test images: run the cells of this seed again, "
                    "on one feature set"
                )


def check_same_runs(known: Mapping[Run, Line], found: Iterable[Line]) -> None:
    """Check that runs which are in the table already came out as there.

    Raises:
        SystemExit: a run differs.
    """
    for line in found:
        other = known.get(line.run)
        if other and (line.labels, line.correct, line.num_test) != (other.labels, other.correct, other.num_test):
            raise SystemExit(
                f"expected {run_folder(line.run)} as in the table, got other accuracies: the feature set or the "
                "versions are others; make the sets again, or begin a new --table"
            )


def main() -> None:
    """Add finished runs to the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="folder of `sweep verdict`")
    parser.add_argument("--table", type=Path, default=TABLE, help="the table")
    options = parser.parse_args()
    lines = read_table(options.table)
    known = {line.run: line for line in lines}
    wanted = [*runs()]
    found = [*finished(options.out, track(wanted), DIGESTS if options.table == TABLE else {})]
    check_same_runs(known, found)
    new = [line for line in found if line.run not in known]
    check_same_start([*lines, *new])
    write_table([*lines, *new], options.table)
    missing = sum(run not in known for run in wanted)
    print(f"{len(new)} of {missing} missing runs added; the table has {len(lines) + len(new)}")


if __name__ == "__main__":
    main()
