"""The forecast of each method in a report."""

from collections.abc import Sequence

from msal_lightning.analysis.report.aggregate import Summary
from msal_lightning.stopping.forecast import CurveForecast, forecast, labels_to, next_target, say_labels_to


def forecast_lines(contenders: Sequence[Summary]) -> list[str]:
    """Return a sentence for each method: how many more labels it needs for an accuracy that none has reached.

    The seeds of a method count the same. Methods whose runs differ in their numbers of labels, or have fewer than four
    rounds, are left out.

    Args:
        contenders: the methods with a curve.
    """
    found = [(method, many) for method in contenders if (many := _forecasts(method))]
    best = [max(_mean_accuracies(method)) for method, _ in found]
    if not best or (target := next_target(best)) is None:
        return []
    return [
        f"{one.method.name}: {say_labels_to(labels_to(many, target), int(many[0].labels[-1]))}" for one, many in found
    ]


def _forecasts(summary: Summary) -> list[CurveForecast]:
    curves = [*summary.curves.values()]
    if len({max(curve) for curve in curves}) > 1:
        return []
    records = next(iter(summary.method.runs.values())).records
    every = [forecast([*curve], [*curve.values()], records[-1].num_test) for curve in curves]
    return [one for one in every if one is not None]


def _mean_accuracies(summary: Summary) -> list[float]:
    return [mean for _, mean, _, _ in summary.mean_curve]
