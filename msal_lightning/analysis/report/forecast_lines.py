"""The forecast of each method in a report."""

from msal_lightning.analysis.report.result import Report, Row
from msal_lightning.stopping.forecast import CurveForecast, forecast, labels_to, next_target, say_labels_to


def forecast_lines(report: Report) -> list[str]:
    """Return a sentence for each method: how many more labels it needs for an accuracy that none has reached.

    The seeds of a method count the same. Methods whose runs differ in their numbers of labels, or have fewer than four
    rounds, are left out.
    """
    found = [(row, _forecasts(row)) for row in report.contenders]
    found = [(row, forecasts) for row, forecasts in found if forecasts]
    best = [max(_mean_accuracies(row)) for row, _ in found]
    if not best or (target := next_target(best)) is None:
        return []
    return [f"{row.name}: {say_labels_to(labels_to(many, target), int(many[0].labels[-1]))}" for row, many in found]


def _forecasts(row: Row) -> list[CurveForecast]:
    curves = [*row.summary.curves.values()]
    if len({max(curve) for curve in curves}) > 1:
        return []
    records = next(iter(row.summary.method.runs.values())).records
    every = [forecast([*curve], [*curve.values()], records[-1].num_test) for curve in curves]
    return [one for one in every if one is not None]


def _mean_accuracies(row: Row) -> list[float]:
    return [mean for _, mean, _, _ in row.summary.mean_curve]
