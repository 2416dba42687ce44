"""The content of a report, before it is written in any format."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from msal_lightning.analysis.report.aggregate import Spread, Summary, summarize
from msal_lightning.analysis.report.by_class import ClassMeans, class_means, class_warnings
from msal_lightning.analysis.report.compare import Comparison, compare
from msal_lightning.analysis.report.forecast_lines import forecast_lines
from msal_lightning.analysis.stats.agreement import agreements, say_agreements
from msal_lightning.analysis.stats.penalty import column_means, penalty_matrix
from msal_lightning.analysis.stats.savings import labels_saved
from msal_lightning.analysis.stats.significance import PairedTest, paired_tests
from msal_lightning.paper.reported import LABELS, Reported, has_dataset, reported
from msal_lightning.runs.classes import accuracy_scope, say_segment
from msal_lightning.runs.reading import Run
from msal_lightning.runs.votes import votes_so_far

METRICS = ("AUBC", "F-acc")


@dataclass(frozen=True)
class Row:
    """A method of the main table.

    Attributes:
        summary: summary of its runs.
        measured: AUBC and F-acc over seeds; AUBC is None for Full.
        reported: the paper's values for each metric.
        saved: labels saved against Random at Random's final accuracy.
        penalty: mean of its column of the penalty matrix.
        compared: mean AUBC and F-acc over the seeds that all methods have; they decide which method is best. None for
            Full, and if no seed is shared by all.
        other_seeds: whether it lacks seeds that another method has.
    """

    summary: Summary
    measured: dict[str, Spread | None]
    reported: dict[str, list[Reported]]
    saved: float | None
    penalty: float | None
    compared: dict[str, float | None]
    other_seeds: bool

    @property
    def name(self) -> str:
        """Name of the method."""
        return self.summary.method.name

    @property
    def num_seeds(self) -> int:
        """Number of finished runs."""
        return len(self.summary.final)


@dataclass(frozen=True)
class Report:
    """A comparison with all results that follow from it.

    Attributes:
        comparison: the compared runs.
        rows: best AUBC on the shared seeds first, Full last.
        in_paper: whether the paper has this dataset.
        tests: tests on AUBC, the most significant first.
        penalties: rows and columns in the order of ``contenders``.
        notes: sentences that belong under the table.
        baseline: name of Random in this comparison; None without it.
        classes: names of the classes.
        shared_seeds: seeds that all methods with a curve have.
        warnings: one sentence per set of classes that runs could not test or train on in their last round.
        scope: replaces the heading F-acc if a test set lacks classes; else empty.
        by_class: class means of each method's last round; empty lists if records have no numbers by class.
        forecast: a sentence for each method on the labels that it still needs; empty if no method has enough rounds.
    """

    comparison: Comparison
    rows: list[Row]
    in_paper: bool
    tests: list[PairedTest]
    penalties: list[list[float | None]]
    notes: list[str]
    baseline: str | None
    classes: list[str]
    shared_seeds: list[int]
    warnings: list[str]
    scope: str
    by_class: dict[str, list[ClassMeans]]
    forecast: list[str]

    @property
    def contenders(self) -> list[Row]:
        """All methods with a curve, that is all except Full."""
        return [row for row in self.rows if not row.summary.method.is_full]

    @property
    def title(self) -> str:
        """Dataset and number of runs."""
        tail = "" if self.comparison.imbalance is None else f", long tail {self.comparison.imbalance}"
        runs = sum(row.num_seeds for row in self.rows)
        return f"{self.comparison.dataset}{tail}: {_count(runs, 'run')} of {_count(len(self.rows), 'method')}"


def build(paths: Sequence[Path]) -> Report:
    """Compare runs.

    Args:
        paths: run directories, or folders of run directories.

    Raises:
        UserError: the runs cannot be compared.
    """
    comparison = compare(paths)
    summaries = [summarize(method) for method in comparison.methods]
    seeds = [set(summary.final) for summary in summaries if not summary.method.is_full]
    shared = sorted(set.intersection(*seeds)) if seeds else []
    summaries.sort(key=lambda summary: _rank(summary, shared))
    contenders = [summary for summary in summaries if not summary.method.is_full]
    baseline = _baseline(contenders)
    penalties = penalty_matrix({summary.method.name: summary.curves for summary in contenders})
    means = dict(zip((summary.method.name for summary in contenders), column_means(penalties), strict=True))
    rows = [
        Row(
            summary=summary,
            measured={
                "AUBC": Spread.of(list(summary.aubc.values())) if summary.aubc else None,
                "F-acc": Spread.of(list(summary.final.values())),
            },
            reported={
                metric: reported(comparison.dataset, comparison.imbalance, summary.method.row, metric)
                for metric in METRICS
            },
            saved=labels_saved(summary.curves, baseline.curves) if baseline and not summary.method.is_full else None,
            penalty=means.get(summary.method.name),
            compared=_on(summary, shared),
            other_seeds=not summary.method.is_full and set(summary.final) != set().union(*seeds),
        )
        for summary in summaries
    ]
    first = next(iter(comparison.methods[0].runs.values()))
    in_paper = has_dataset(comparison.dataset, comparison.imbalance)
    return Report(
        comparison=comparison,
        rows=rows,
        in_paper=in_paper,
        tests=paired_tests({summary.method.name: summary.aubc for summary in contenders if summary.aubc}),
        penalties=penalties,
        notes=[
            *comparison.notes,
            *_segments(comparison),
            *(_protocol(comparison, contenders) if in_paper else []),
            *_agreement(comparison),
        ],
        baseline=baseline.method.name if baseline else None,
        classes=class_names(first, len(summaries[0].class_counts)),
        shared_seeds=shared,
        warnings=class_warnings(comparison.methods),
        scope=accuracy_scope(run.records for method in comparison.methods for run in method.runs.values()),
        by_class={summary.method.name: class_means(summary.method) for summary in summaries},
        forecast=forecast_lines(contenders),
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _rank(summary: Summary, shared: list[int]) -> tuple[bool, float, str]:
    area = _on(summary, shared)["AUBC"]
    return (summary.method.is_full, -area if area is not None else 0.0, summary.method.name)


def _on(summary: Summary, seeds: list[int]) -> dict[str, float | None]:
    """Return means over some seeds; None without such a seed, and for Full."""
    values = {"AUBC": summary.aubc, "F-acc": summary.final}
    if summary.method.is_full or not seeds:
        return dict.fromkeys(values)
    found = {metric: [by_seed[seed] for seed in seeds if seed in by_seed] for metric, by_seed in values.items()}
    means = {metric: statistics.fmean(column) if column else math.nan for metric, column in found.items()}
    return {metric: None if math.isnan(mean) else mean for metric, mean in means.items()}


def _baseline(summaries: list[Summary]) -> Summary | None:
    by_row = {summary.method.row: summary for summary in reversed(summaries)}
    return by_row.get("Random") or by_row.get("Random, prototype head")


def _agreement(comparison: Comparison) -> list[str]:
    """Say how far annotators agree in each run where several labeled the same images."""
    runs = [run for method in comparison.methods for run in method.runs.values()]
    found = {run.folder: agreements(votes_so_far(run.folder, run.records).values()) for run in runs}
    return [f"{folder}: {line}" for folder, pairs in found.items() for line in say_agreements(pairs)]


def _segments(comparison: Comparison) -> list[str]:
    """Say of which rounds the numbers of a run are, if its classes were merged or split."""
    runs = [run for method in comparison.methods for run in method.runs.values()]
    return [
        f"{run.folder}: AUBC and curve are of {segment}, after classes were merged or split"
        for run in runs
        if (segment := say_segment(run.records))
    ]


def _protocol(comparison: Comparison, contenders: list[Summary]) -> list[str]:
    """Explain how the runs' numbers of labels differ from the paper's."""
    if comparison.imbalance is not None or not contenders:
        return []
    start, end = LABELS[comparison.dataset]
    curve = contenders[0].mean_curve
    if (curve[0][0], curve[-1][0]) == (start, end):
        return []
    return [
        f"The paper's numbers are for {start:,} to {end:,} labels, these runs have {curve[0][0]:,} to "
        f"{curve[-1][0]:,}: the differences mix methods with budgets"
    ]


def class_names(run: Run, count: int) -> list[str]:
    """Their names as the records have them, their numbers where none has them.

    Args:
        run: any of the comparison.
        count: how many classes there are.
    """
    known = (run.class_names, *(record.class_names for record in reversed(run.records)))
    return next((list(names) for names in known if names and len(names) == count), [str(c) for c in range(count)])
