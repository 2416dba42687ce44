"""The table of all runs of the reproduction: ``docs/reproduction.csv``, a line for each run, whole or interrupted.

    python -m benchmarks.reproduction.table runs/sweep-reproduce [runs/sweep-reproduce-cut]

replaces the lines of runs that have gone on; no line is lost.
"""

import argparse
import csv
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path

from msal_lightning.io.atomic import write_atomically
from msal_lightning.io.yaml_files import read_yaml
from msal_lightning.models.metrics import area_under_budget_curve
from msal_lightning.runs.records import RoundRecord, read_records
from msal_lightning.sweep.grid import reproduction_folder
from msal_lightning.sweep.reproduction import NAMES, runs

TABLE = Path(__file__).parents[2] / "docs" / "reproduction.csv"


@dataclass(frozen=True)
class Line:
    """A run, with a value for each of its rounds.

    Attributes:
        protocol: name of the sweep.
        row: the paper's name of the row.
        last_batch: value of ``data.last_batch``.
        seed: seed of the run.
        device: name of the device.
        precision: precision of the fits.
        torch: version of torch.
        labels: number of labels.
        accuracy: on the test set.
        pool_error: share of wrong predictions on the pool; NaN where the strategy has no pool pass.
        fit: seconds of the fit.
        query: seconds of the query.
    """

    protocol: str
    row: str
    last_batch: str
    seed: int
    device: str
    precision: str
    torch: str
    labels: tuple[int, ...]
    accuracy: tuple[float, ...]
    pool_error: tuple[float, ...]
    fit: tuple[float, ...]
    query: tuple[float, ...]

    @property
    def key(self) -> tuple[str, str, str, int, str]:
        """What makes it another run: never mixed are devices."""
        return self.protocol, self.row, self.last_batch, self.seed, self.device

    @property
    def is_whole(self) -> bool:
        """Whether it has all its rounds."""
        last = 60_000 if self.row == "Full" else {NAMES[0]: 10_500, NAMES[1]: 1_500}[self.protocol]
        return self.labels[-1] == last

    @property
    def aubc(self) -> float:
        """Area under the curve of accuracy by labels, divided by the range of labels."""
        return area_under_budget_curve([*self.labels], [*self.accuracy])


_TEXT, _WHOLE = {"protocol", "row", "last_batch", "device", "precision", "torch"}, {"labels"}


def read_table(file: Path = TABLE) -> list[Line]:
    """Read the table; empty if there is none."""
    if not file.exists():
        return []
    with file.open(encoding="utf-8", newline="") as text:
        return [_line(row) for row in csv.DictReader(text)]


def _line(row: dict[str, str]) -> Line:
    values = {
        name: value if name in _TEXT else tuple(map(int if name in _WHOLE else float, value.split()))
        for name, value in row.items()
    }
    return Line(**{**values, "seed": int(row["seed"])})  # type: ignore[arg-type]


def write_table(lines: Iterable[Line], file: Path = TABLE) -> None:
    """Write the table, sorted, so that equal lines give equal bytes."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = [field.name for field in fields(Line)]
    writer.writerow(names)
    for line in sorted(lines, key=lambda line: line.key):
        values = (getattr(line, name) for name in names)
        writer.writerow([" ".join(f"{x:.7g}" for x in v) if isinstance(v, tuple) else v for v in values])
    write_atomically(file, text.getvalue())


def found(out: Path) -> Iterator[Line]:
    """Yield the runs below the folder of a sweep that have a round; one on two devices is left out, with a line."""
    for name in NAMES:
        for run in runs(name):
            folder = out / reproduction_folder(run)
            if not (folder / "config.yaml").exists() or not (records := read_records(folder)):
                continue
            if (read_yaml(folder / "config.yaml")["loop"]["query_budget"] == 1000) is not (name == NAMES[1]):
                continue
            devices = {record.environment["device"] for record in records}
            if len(devices) > 1:
                print(f"left out {folder.name}, whose rounds were on {' and '.join(sorted(devices))}")
                continue
            yield _of(name, run.row, run.last_batch, run.seed, records)


def _of(protocol: str, row: str, last_batch: str, seed: int, records: list[RoundRecord]) -> Line:
    environment = records[-1].environment
    errors = (record.pool_error for record in records)
    return Line(
        protocol, row, last_batch, seed, environment["device"], environment["precision"], environment["torch"],
        tuple(record.num_labeled for record in records),
        tuple(round(record.accuracy, 7) for record in records),
        tuple(float("nan") if error is None else float(f"{error:.7g}") for error in errors),
        tuple(round(record.seconds["fit"], 3) for record in records),
        tuple(round(record.seconds.get("query", 0.0), 3) for record in records),
    )  # fmt: skip


def main() -> None:
    """Add runs to the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, nargs="+", help="folder of `sweep reproduce` or `sweep reproduce-cut`")
    parser.add_argument("--table", type=Path, default=TABLE, help="the table")
    options = parser.parse_args()
    lines = {line.key: line for line in read_table(options.table)}
    for out in options.out:
        for line in found(out):
            if line.key not in lines or len(lines[line.key].labels) <= len(line.labels):
                lines[line.key] = line
    write_table(lines.values(), options.table)
    print(f"the table has {len(lines)} runs, {sum(line.is_whole for line in lines.values())} of them whole")


if __name__ == "__main__":
    main()
