"""Rebuild the figures of docs/reproduction.md, and the tables between its marks, from the table of all runs.

python -m benchmarks.reproduction.page
"""

import csv
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np

from benchmarks.marks import fill
from benchmarks.reproduction.cells import compare, paper_cell
from benchmarks.reproduction.figures import draw_curves
from benchmarks.reproduction.table import Line, read_table
from msal_lightning.analysis.report.formats.markdown import table as markdown
from msal_lightning.analysis.report.tables import NONE, Table, signed
from msal_lightning.io.atomic import write_atomically
from msal_lightning.models.metrics import area_under_budget_curve
from msal_lightning.sweep.reproduction import CORE, LAST_BATCH, NAME, NAMES, ROWS, runs

DOCS = Path(__file__).parents[2] / "docs"
PAGE, SPACE = DOCS / "reproduction.md", DOCS / "reproduction-space.csv"
_SMALL = 5_250  # labels whose last batch has two images


def whole(lines: Sequence[Line], row: str, last_batch: str) -> list[Line]:
    """Return the whole runs of a cell at the full protocol; those of the device that has most of them."""
    of = [one for one in lines if (one.protocol, one.row, one.last_batch) == (NAME, row, last_batch) and one.is_whole]
    devices = Counter(one.device for one in of).most_common(1)
    return [one for one in of if one.device == devices[0][0]]


def progress_table(lines: Sequence[Line]) -> str:
    """Return how many runs are whole, begun and planned."""
    rows = []
    for name in NAMES:
        for kind in LAST_BATCH:
            planned = [run for run in runs(name) if run.last_batch == kind]
            of = [one for one in lines if (one.protocol, one.last_batch) == (name, kind)]
            done = sum(one.is_whole for one in of)
            devices = ", ".join(sorted({one.device for one in of})) or NONE
            rows.append([f"sweep {name}", kind, str(done), str(len(of) - done), str(len(planned)), devices])
    columns = ["sweep", "last batch", "whole runs", "begun", "planned", "device"]
    return markdown(Table("", columns, rows))


def cells_table(lines: Sequence[Line], metric: str, last_batch: str) -> str:
    """Return every cell that has two whole runs beside the paper's.

    Args:
        lines: all runs.
        metric: AUBC or F-acc.
        last_batch: value of ``data.last_batch``.
    """
    rows = []
    for row in ROWS:
        paper, found = paper_cell(row, metric), whole(lines, row, last_batch)
        if paper is None or len(found) < 2:
            continue
        one = compare([line.aubc if metric == "AUBC" else line.accuracy[-1] for line in found], paper)
        rows.append(
            [
                row, str(len(found)), f"{one.mean:.4f} ± {one.half:.4f}", paper.printed + "†" * paper.dagger,
                f"{signed(one.difference)} ± {one.apart:.4f}", f"{one.difference / one.error:+.1f}".replace("-", "−"),
                one.verdict,
            ]
        )  # fmt: skip
    columns = ["row", "runs", f"{metric}, ours [95%]", "paper", "ours − paper [95%]", "in standard errors", "verdict"]
    return markdown(Table("", columns, rows)) if rows else "No cell has two whole runs yet."


def small_batch_table(lines: Sequence[Line]) -> str:
    """Return what the round of 5,250 labels, whose last batch has two images, costs each row."""
    rows = []
    for row in CORE:
        found = whole(lines, row, "keep")
        if not found:
            continue
        k = found[0].labels.index(_SMALL)
        at = [f"{min(line.accuracy[k] for line in found):.3f}–{max(line.accuracy[k] for line in found):.3f}"]
        beside = [line.accuracy[j] for line in found for j in (k - 1, k + 1)]
        aubc, without = [line.aubc for line in found], [_without(line, k) for line in found]
        rows.append(
            [
                row, *at, f"{min(beside):.3f}–{max(beside):.3f}", _spread(aubc), _spread(without),
                signed(float(np.mean(without) - np.mean(aubc))),
            ]
        )  # fmt: skip
    columns = [
        "row", "accuracy at 5,250 labels", "at 5,000 and 5,500", "AUBC, mean ± std",
        "the same, 5,250 on the line between its neighbours", "cost of this round",
    ]  # fmt: skip
    return markdown(Table("", columns, rows))


def _without(line: Line, k: int) -> float:
    """The area if round k lay on the line between its neighbours."""
    keep = [j for j in range(len(line.labels)) if j != k]
    return area_under_budget_curve([line.labels[j] for j in keep], [line.accuracy[j] for j in keep])


def _spread(values: Sequence[float]) -> str:
    return f"{np.mean(values):.4f} ± {np.std(values, ddof=1):.4f}"


def balanced_table(lines: Sequence[Line]) -> str:
    """Return both kinds of the last batch over the rounds that all runs of both have."""
    rows = []
    for row in CORE:
        of = [
            [line for line in lines if (line.protocol, line.row, line.last_batch) == (NAME, row, kind)]
            for kind in LAST_BATCH
        ]
        if min(map(len, of)) < 2:
            continue
        last = min(len(line.labels) for kind in of for line in kind)
        areas = [
            [area_under_budget_curve([*line.labels[:last]], [*line.accuracy[:last]]) for line in kind] for kind in of
        ]
        rows.append(
            [
                row, f"500–{of[0][0].labels[last - 1]:,}", *map(_spread, areas), f"{len(of[0])} and {len(of[1])}",
                signed(float(np.mean(areas[1]) - np.mean(areas[0]))),
            ]
        )  # fmt: skip
    columns = ["row", "labels", "area, keep", "area, balanced", "runs", "balanced − keep"]
    return markdown(Table("", columns, rows)) if rows else "No row has two runs of both yet."


def pool_error_table(lines: Sequence[Line]) -> str:
    """Return the error rate on the unlabeled images in the first ten rounds (Fig. 3)."""
    counts = [500 + 250 * k for k in range(10)]
    rows = [
        [row, *(f"{value:.1f}" for value in [*errors, errors.mean()])]
        for row in CORE
        if (found := whole(lines, row, "keep"))
        and not np.isnan(errors := 100 * np.mean([line.pool_error[: len(counts)] for line in found], 0)).any()
    ]
    return markdown(Table("", ["row", *(f"{count:,}" for count in counts), "mean"], rows))


def time_table(lines: Sequence[Line]) -> str:
    """Return the seconds of a run, and their ratio to Entropy's."""

    def total(found: Sequence[Line], of: Callable[[Line], Sequence[float]]) -> float:
        return float(np.mean([sum(of(line)) for line in found]))

    base = whole(lines, "Entropy", "keep")
    rows = []
    for row in CORE:
        if found := whole(lines, row, "keep"):
            fit, query = total(found, lambda line: line.fit), total(found, lambda line: line.query)
            whole_base = total(base, lambda line: line.fit) + total(base, lambda line: line.query)
            rows.append([row, f"{fit:.1f}", f"{query:.2f}", f"{(fit + query) / whole_base:.3f}"])
    return markdown(Table("", ["row", "fits, s", "queries, s", "both, of Entropy's"], rows))


def space_table() -> str:
    """Return what `benchmarks.reproduction.space` measured."""
    with SPACE.open(encoding="utf-8", newline="") as text:
        head, *rows = csv.reader(text)
    return markdown(Table("", head, [[cell or NONE for cell in row] for row in rows]))


def tables(lines: Sequence[Line]) -> Mapping[str, str]:
    """Return all tables of the page by name."""
    return {
        "progress": progress_table(lines),
        "aubc": cells_table(lines, "AUBC", "keep"),
        "accuracy": cells_table(lines, "F-acc", "keep"),
        "small-batch": small_batch_table(lines),
        "balanced": balanced_table(lines),
        "space": space_table(),
        "pool-error": pool_error_table(lines),
        "time": time_table(lines),
    }


def main() -> None:
    """Write the page and the figures."""
    matplotlib.use("agg")
    lines = read_table()
    draw_curves({row: whole(lines, row, "keep") for row in CORE}, DOCS / "reproduction-curves.png")
    write_atomically(PAGE, fill(PAGE, tables(lines)))
    print(f"{len(lines)} runs: wrote {PAGE.name} and its figure in {DOCS}")


if __name__ == "__main__":
    main()
