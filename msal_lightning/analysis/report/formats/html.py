"""A report as one HTML page without external files."""

from typing import Any

from msal_lightning.analysis.method_style import DASHES, method_style
from msal_lightning.analysis.report.aggregate import PHASES, Spread, Summary, jaccard
from msal_lightning.analysis.report.ranking import rank_seeds
from msal_lightning.analysis.report.ranking_tables import ranking_notes, ranking_sentence, ranking_table
from msal_lightning.analysis.report.result import METRICS, Report, Row
from msal_lightning.analysis.report.tables import footnotes, results_table, verdict
from msal_lightning.io.html_page import render
from msal_lightning.runs.records import last_segment


def page(report: Report) -> str:
    """Return the page with data, style and script in one file; names reach the document as text only."""
    return render(__package__, "html", report.title, _data(report))


def _data(report: Report) -> dict[str, Any]:
    table = results_table(report)
    contenders = [row.summary for row in report.contenders]
    return {
        "title": report.title,
        "notes": footnotes(report),
        "verdict": verdict(report),
        "forecast": report.forecast,
        "warnings": report.warnings,
        "phases": PHASES,
        "classes": report.classes,
        "table": {"columns": table.columns, "rows": table.rows, "bold": sorted(table.bold)},
        "ranks": _ranks(report),
        "methods": [_method(row) for row in report.rows],
        "full": [
            {"name": row.name, "accuracy": row.measured["F-acc"].mean}
            for row in report.rows
            if row.summary.method.is_full and row.measured["F-acc"]
        ],
        "available": _available(report.rows),
        "contenders": [summary.method.name for summary in contenders],
        "overlap": [[jaccard(first, second) for second in contenders] for first in contenders],
        "penalties": report.penalties,
        "penalty": [row.penalty for row in report.contenders],
        "byClass": [
            {"method": name, "rows": [[one.name, *one.values.values()] for one in classes]}
            for name, classes in report.by_class.items()
            if classes
        ],
        "tests": [
            {
                "first": test.first,
                "second": test.second,
                "seeds": test.seeds,
                "difference": test.difference,
                "t": test.t_p,
                "holm": test.holm_p,
                "wilcoxon": test.wilcoxon_p,
            }
            for test in report.tests
        ],
    }


def _ranks(report: Report) -> dict[str, Any] | None:
    ranking = rank_seeds(report)
    if ranking is None:
        return None
    table = ranking_table(ranking)
    said = f"{table.title}. {ranking_sentence(ranking)}"
    return {"columns": table.columns, "rows": table.rows, "said": said, "notes": ranking_notes(ranking)}


def _method(row: Row) -> dict[str, Any]:
    summary, style = row.summary, method_style(row.name)
    return {
        "name": row.name,
        "colour": style.colour,
        "dash": " ".join(map(str, DASHES[style.dash])),
        "seeds": sorted(summary.final),
        "isFull": summary.method.is_full,
        "curve": [list(point) for point in summary.mean_curve],
        "seconds": [summary.seconds[phase] for phase in PHASES],
        "queried": summary.class_counts,
        **{metric: _mean(row.measured[metric]) for metric in METRICS},
    }


def _available(rows: list[Row]) -> list[float] | None:
    """Return each class's share of the pool before the first query, as Random queries it; None if unknown."""
    first: Summary | None = next((row.summary for row in rows if not row.summary.method.is_full), None)
    run = next(iter(first.method.runs.values())) if first else None
    train = [record.train_class_counts for record in last_segment(run.records)] if run else []
    if run is None or not (pool := list(next((counts for counts in train if counts), []))):
        return None
    for label in run.amendments.present_labels(run.records[0].initial, 0):
        if label >= len(pool):  # no round knows the present classes yet
            return None
        pool[label] -= 1
    return [count / sum(pool) for count in pool] if sum(pool) else None


def _mean(value: Spread | None) -> float | None:
    return None if value is None or value.mean != value.mean else value.mean
