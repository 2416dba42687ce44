"""One method's runs as a few numbers."""

import itertools
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from msal_lightning.analysis.report.compare import Method
from msal_lightning.runs.labels import queried_per_class
from msal_lightning.runs.records import aubc, last_segment

PHASES = ("fit", "test", "query")


@dataclass(frozen=True)
class Spread:
    """Values of several seeds.

    Attributes:
        mean: their mean.
        std: sample standard deviation (n - 1); None for one value.
    """

    mean: float
    std: float | None

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Compute mean and standard deviation of at least one value."""
        return cls(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None)


@dataclass(frozen=True)
class Summary:
    """The results and costs of a method.

    Attributes:
        method: the method.
        aubc: area under the budget curve of the rounds with the present classes, by seed; one point has none.
        final: accuracy of the last round, by seed.
        seconds: seconds of a whole run per phase, mean over seeds.
        curves: accuracy by number of labels, by seed; of the rounds with the present classes.
        queried: indices of the queried images, by seed, without the initial set.
        class_counts: number of queried labels per present class, mean over seeds.
    """

    method: Method
    aubc: dict[int, float]
    final: dict[int, float]
    seconds: dict[str, float]
    curves: dict[int, dict[int, float]]
    queried: dict[int, frozenset[int]]
    class_counts: list[float]

    @property
    def mean_curve(self) -> list[tuple[int, float, float, float]]:
        """Number of labels with mean, lowest and highest accuracy, where all seeds have a point."""
        shared = sorted(set.intersection(*(set(curve) for curve in self.curves.values())))
        columns = [(labels, [curve[labels] for curve in self.curves.values()]) for labels in shared]
        return [(labels, statistics.fmean(values), min(values), max(values)) for labels, values in columns]


def summarize(method: Method) -> Summary:
    """Aggregate the finished runs of a method over their seeds."""
    runs = {seed: run.records for seed, run in method.runs.items()}
    counts = [queried_per_class(run) for run in method.runs.values()]
    return Summary(
        method=method,
        aubc={} if method.is_full else {seed: aubc(r) for seed, r in runs.items() if len(last_segment(r)) > 1},
        final={seed: records[-1].accuracy for seed, records in runs.items()},
        seconds={
            phase: statistics.fmean(sum(r.seconds.get(phase, 0.0) for r in records) for records in runs.values())
            for phase in PHASES
        },
        curves={seed: {r.num_labeled: r.accuracy for r in last_segment(records)} for seed, records in runs.items()},
        queried={seed: frozenset(i for r in records for i in r.queried.index) for seed, records in runs.items()},
        class_counts=[statistics.fmean(column) for column in itertools.zip_longest(*counts, fillvalue=0)],
    )


def jaccard(first: Summary, second: Summary) -> float | None:
    """Return the Jaccard index of two methods' queried images, mean over shared seeds; None without such a seed."""
    values = [
        len(first.queried[seed] & second.queried[seed]) / len(union)
        for seed in sorted(set(first.queried) & set(second.queried))
        if (union := first.queried[seed] | second.queried[seed])
    ]
    return statistics.fmean(values) if values else None
