"""A report's main table as CSV: plain numbers, and blanks for missing ones."""

from typing import Any

from msal_lightning.analysis.report.aggregate import PHASES
from msal_lightning.analysis.report.result import METRICS, Report, Row
from msal_lightning.io.csv_cells import table


def table_csv(report: Report) -> str:
    """Return one row per method; if the paper's tables disagree, the first one counts."""
    return table(result_rows(report))


def result_rows(report: Report) -> list[dict[str, Any]]:
    """Return the rows of the CSV as values; None for missing ones."""
    return [_row(row) for row in report.rows]


def _row(row: Row) -> dict[str, Any]:
    cells: dict[str, Any] = {"method": row.name, "seeds": " ".join(map(str, row.summary.final))}
    for metric in METRICS:
        measured, cited = row.measured[metric], row.reported[metric]
        key = metric.lower().replace("-", "_")
        cells[f"{key}_mean"] = measured and measured.mean
        cells[f"{key}_std"] = measured and measured.std
        cells[f"{key}_reported"] = cited[0].value if cited else None
        cells[f"{key}_reported_table"] = cited[0].table if cited else None
    cells |= {f"seconds_{phase}": round(row.summary.seconds[phase], 3) for phase in PHASES}
    cells |= {"other_seeds": int(row.other_seeds)}
    cells |= {f"{metric.lower().replace('-', '_')}_shared_seeds": row.compared[metric] for metric in METRICS}
    return {**cells, "labels_saved": row.saved, "penalty": row.penalty}
