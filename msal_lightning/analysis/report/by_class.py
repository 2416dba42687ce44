"""Numbers by class over seeds, and warnings about classes without test or training images."""

import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from msal_lightning.analysis.report.compare import Method
from msal_lightning.runs.classes import ClassRow, class_rows, missing_classes

_NAMED = 3  # runs that a warning names
_VALUES = ("test", "train", "labeled", "precision", "recall", "f1", "auroc")


@dataclass(frozen=True)
class ClassMeans:
    """One class in the last round of a method, mean over the seeds in which the value is defined.

    Attributes:
        name: name of the class.
        values: ``test``, ``train``, ``labeled``, ``precision``, ``recall``, ``f1`` and ``auroc``; None if no seed
            defines the value.
    """

    name: str
    values: dict[str, float | None]


def class_means(method: Method) -> list[ClassMeans]:
    """Return all classes in the order of their numbers; empty if the records have no numbers by class."""
    by_class: dict[int, list[ClassRow]] = defaultdict(list)
    for run in method.runs.values():
        for row in class_rows(run.named_records, len(run.records) - 1):
            by_class[row.number].append(row)
    return [
        ClassMeans(by_class[c][0].name, {name: _mean([getattr(row, name) for row in by_class[c]]) for name in _VALUES})
        for c in sorted(by_class)
    ]


def class_warnings(methods: Sequence[Method]) -> list[str]:
    """Return one sentence per set of classes that the last round of some runs lacks; it names these runs."""
    runs: dict[str, list[str]] = defaultdict(list)
    for method in methods:
        for seed, run in method.runs.items():
            for warning in missing_classes(run.named_records, len(run.records) - 1).warnings:
                runs[warning].append(f"{method.name} seed {seed}")
    return [f"{_some(names)}: {warning}" for warning, names in runs.items()]


def _mean(values: Sequence[float | None]) -> float | None:
    known = [float(value) for value in values if value is not None]
    return statistics.fmean(known) if known else None


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more runs" if len(names) > _NAMED else "")
