"""The tables of a report as text, the same for the terminal, Markdown and LaTeX."""

from dataclasses import dataclass, field

from msal_lightning.analysis.report.aggregate import PHASES, Spread
from msal_lightning.analysis.report.result import METRICS, Report, Row
from msal_lightning.io.rounding import fixed
from msal_lightning.paper.reported import Reported

NONE = "–"
OTHER_SEEDS = "‡"
"""Marks the number of seeds of a method that lacks seeds of another one."""
SHOWN_TESTS = 20


@dataclass(frozen=True)
class Table:
    """A table of text cells.

    Attributes:
        title: one line.
        columns: heads of the columns; the first column is left-aligned, the others are numbers.
        rows: rows with one cell per column.
        bold: bold cells as (row, column), from 0.
    """

    title: str
    columns: list[str]
    rows: list[list[str]]
    bold: set[tuple[int, int]] = field(default_factory=set)


def results_table(report: Report) -> Table:
    """Return AUBC and final accuracy beside the paper's numbers (if any), seconds, labels saved and penalty."""
    columns = ["method", "seeds"]
    for metric in METRICS:
        columns += [metric, *([f"{metric} reported", "difference"] if report.in_paper else [])]
    columns += [f"{phase} s" for phase in PHASES] + ["labels saved", "penalty"]
    rows = [_row(row, report.in_paper) for row in report.rows]
    bold = {(i, columns.index(metric)) for metric in METRICS for i in _best(report.rows, metric)}
    # F-acc would mislead if the test set lacks a class
    columns[columns.index("F-acc")] = report.scope or "F-acc"
    return Table(report.title, columns, rows, bold)


def blocks(table: Table, in_paper: bool) -> list[list[int]]:
    """Split the columns of the main table into blocks that fit on a page; each block begins with the method."""
    cost = table.columns.index("fit s")
    parts = [range(1, 5), range(5, cost)] if in_paper else [range(1, cost)]
    return [[0, *columns] for columns in (*parts, range(cost, len(table.columns)))]


def _row(row: Row, in_paper: bool) -> list[str]:
    cells = [row.name, f"{row.num_seeds} {OTHER_SEEDS}" if row.other_seeds else str(row.num_seeds)]
    for metric in METRICS:
        measured, cited = row.measured[metric], row.reported[metric]
        cells.append(spread(measured))
        if in_paper:
            cells.append(" / ".join(map(_cited, cited)) or NONE)
            cells.append(" / ".join(signed(measured.mean - c.value) for c in cited if measured) or NONE)
    cells += [fixed(row.summary.seconds[phase], 1) for phase in PHASES]
    return [
        *cells,
        NONE if row.saved is None else fixed(row.saved, 0).replace("-", "−"),
        NONE if row.penalty is None else fixed(row.penalty, 2),
    ]


def spread(value: Spread | None) -> str:
    """Format mean ± sample standard deviation, or the mean alone for one seed."""
    if value is None or value.mean != value.mean:  # NaN: a curve of one point
        return NONE
    return fixed(value.mean, 4) + ("" if value.std is None else f" ± {fixed(value.std, 4)}")


def signed(value: float) -> str:
    """Format a difference with its sign, using a real minus."""
    return ("−" if value < 0 else "+") + fixed(abs(value), 4)


def _cited(cell: Reported) -> str:
    return f"{cell.printed}{'†' if cell.dagger else ''} (T{cell.table})"


def _best(rows: list[Row], metric: str) -> list[int]:
    values = {i: value for i, row in enumerate(rows) if (value := row.compared[metric]) is not None}
    best = fixed(max(values.values(), default=0.0), 4)
    return [i for i, value in values.items() if fixed(value, 4) == best]


def tests_table(report: Report) -> Table:
    """Return the pairs with the smallest p-values."""
    with_test = [test for test in report.tests if test.t_p is not None]
    title = f"Paired tests on AUBC, {len(with_test)} pairs of methods"
    if len(with_test) > SHOWN_TESTS:
        title += f", the {SHOWN_TESTS} with the smallest p"
    rows = [
        [f"{test.first} − {test.second}", str(test.seeds), signed(test.difference)]
        + [p_value(p) for p in (test.t_p, test.holm_p, test.wilcoxon_p)]
        for test in with_test[:SHOWN_TESTS]
    ]
    return Table(title, ["pair", "seeds", "difference", "t-test p", "p by Holm", "Wilcoxon p"], rows)


def p_value(p: float | None) -> str:
    """Format a p-value with three decimals, or as ``< 0.001``."""
    if p is None:
        return NONE
    return "< 0.001" if p < 0.001 else fixed(p, 3)


def penalty_table(report: Report) -> Table:
    """Return the share of the budgets at which the row's method beats the column's."""
    names = [row.name for row in report.contenders]
    rows = [
        [f"{i} {name}", *(NONE if value is None or i == j else fixed(value, 2) for j, value in enumerate(line, 1))]
        for i, (name, line) in enumerate(zip(names, report.penalties, strict=True), 1)
    ]
    means = [NONE if row.penalty is None else fixed(row.penalty, 2) for row in report.contenders]
    numbers = [str(j) for j in range(1, len(names) + 1)]
    return Table("Penalty matrix", ["row beats column", *numbers], [*rows, ["mean (lower is better)", *means]])


def footnotes(report: Report) -> list[str]:
    """Return the notes that explain the tables."""
    return [
        "AUBC and F-acc (accuracy of the last round): mean ± sample standard deviation over seeds, the best mean in "
        "bold; seconds of a whole run, mean over seeds.",
        *_other_seeds(report),
        *([
            "Reported: the paper's Tables 2 to 5 (T2 to T5; two where they disagree), not measured here; difference = "
            "measured − reported; † the paper took it from Zhan et al."
        ] if report.in_paper else []),
        *([f"Labels saved against {report.baseline} at its final accuracy, on mean curves over shared seeds; "
           f"{NONE}: not reached."] if report.baseline else []),
        "Penalty (after Ash et al. 2020, here over all budgets): share of the budgets at which another method is "
        "significantly better (paired t-test, p < 0.05, uncorrected), mean over all methods with 0 for itself; lower "
        "is better.",
        "Paired tests: two-sided, on the seeds that both methods have; p by Holm is corrected for all pairs. "
        f"{NONE}: fewer than 2 seeds, for Wilcoxon fewer than 6.",
        *(note if note.endswith(".") else f"{note}." for note in report.notes),
    ]  # fmt: skip


def _other_seeds(report: Report) -> list[str]:
    """Explain how methods with unequal seeds are compared."""
    if not any(row.other_seeds for row in report.rows):
        return []
    if not report.shared_seeds:
        return [f"{OTHER_SEEDS} No seed is common to all methods: nothing is in bold, and the order has no meaning."]
    seeds = ("seed " if len(report.shared_seeds) == 1 else "seeds ") + ", ".join(map(str, report.shared_seeds))
    areas = [
        f"{row.name} {fixed(value, 4)}" for row in report.contenders if (value := row.compared["AUBC"]) is not None
    ]
    return [
        f"{OTHER_SEEDS} Methods have different seeds: order and bold compare means over {seeds}, which all methods "
        f"have (AUBC {', '.join(areas)})."
    ]


def verdict(report: Report) -> str:
    """Return one sentence about the tests."""
    tested = [test for test in report.tests if test.t_p is not None]
    if not tested:
        return "No pair of methods shares two seeds: no test."
    found = sum(test.holm_p is not None and test.holm_p < 0.05 for test in tested)
    return f"{found} of {len(tested)} pairs differ significantly in AUBC (p < 0.05 after Holm's correction)."
