"""The classes of a run, round by round: counts, results, and classes without test images or labels."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from msal_lightning.io.wording import counted
from msal_lightning.models.class_results import MOST_CLASSES

if TYPE_CHECKING:
    from msal_lightning.runs.records import RoundRecord

_NAMED = 3  # number of classes that a warning names


@dataclass(frozen=True)
class ClassRow:
    """One class in one round.

    Attributes:
        number: class number, from 0.
        name: class name; the number as text if the records have no names.
        test: number of test images of the class.
        train: number of images of the class in the train split, labeled or not; None if unknown.
        labeled: number of labels of the class that the round's model trained on, without pseudo-labels.
        precision: None if the model never predicted the class.
        recall: None without test images.
        f1: None without test images.
        auroc: None without test images, or if it was not computed.
    """

    number: int
    name: str
    test: int
    train: int | None
    labeled: int
    precision: float | None
    recall: float | None
    f1: float | None
    auroc: float | None


@dataclass(frozen=True)
class MissingClasses:
    """Known classes without test images or without labels in a round.

    Attributes:
        known: number of known classes.
        in_test: names of classes without a test image.
        in_labeled: names of classes without a label that the model trained on.
    """

    known: int
    in_test: tuple[str, ...]
    in_labeled: tuple[str, ...]

    @property
    def scope(self) -> str:
        """``accuracy on 2 of 3 classes``; empty if every class has a test image."""
        return f"accuracy on {self.known - len(self.in_test):,} of {self.known:,} classes" if self.in_test else ""

    @property
    def warnings(self) -> list[str]:
        """A sentence about the test set and one about the labels, if classes are missing there."""
        of = f"of {self.known:,} classes"
        lines = []
        if self.in_test:
            lines.append(
                f"no test image of {_some(self.in_test)}: the accuracy is measured on "
                f"{self.known - len(self.in_test):,} {of} and says nothing about {_them(self.in_test)}"
            )
        if self.in_labeled:
            lines.append(
                f"no labeled image of {_some(self.in_labeled)} ({len(self.in_labeled):,} {of}): the model cannot have "
                f"learned {_them(self.in_labeled)}"
            )
        return lines


def class_rows(records: Sequence["RoundRecord"], round: int) -> list[ClassRow]:
    """Return one row for each class that the model of a round knew; none if the record has no results by class.

    Args:
        records: records of a run, from round 0.
        round: k.
    """
    results = records[round].test_classes
    if results is None:
        return []
    names = _names(segment_of(records, round), len(results.images))
    train = _train(segment_of(records[: round + 1], round))
    labeled = _labeled(records[: round + 1], len(results.images))
    return [
        ClassRow(
            c,
            names[c],
            results.images[c],
            train[c] if c < len(train) else None,
            labeled[c],
            results.precision(c),
            results.recall(c),
            results.f1(c),
            results.auroc_of(c),
        )
        for c in range(len(names))
    ]


def class_table(records: Sequence["RoundRecord"]) -> list[dict[str, Any]]:
    """Return the rows of ``per_class.csv``; undefined values are blank.

    The rows cover all classes of all rounds, or of the last round only, see :func:`shows_last_round_only`.
    """
    shown = [record.round for record in records if record.test_classes]
    if shows_last_round_only(records):
        shown = shown[-1:]
    return [row for k in shown for row in class_table_rows(records[: k + 1])]


def class_table_rows(records: Sequence["RoundRecord"]) -> list[dict[str, Any]]:
    """Return the rows of ``per_class.csv`` for the last of these records."""
    last = records[-1].round
    return [
        {"round": last, "class": row.number, "name": row.name, "test": row.test, "train": row.train}
        | {"labeled": row.labeled}
        | {name: _rounded(getattr(row, name)) for name in ("precision", "recall", "f1", "auroc")}
        for row in class_rows(records, last)
    ]


def shows_last_round_only(records: Iterable["RoundRecord"]) -> bool:
    """Return whether ``per_class.csv`` would become too long with all rounds: with more than 1,000 classes."""
    return any(len(record.test_classes.images) > MOST_CLASSES for record in records if record.test_classes)


def missing_classes(records: Sequence["RoundRecord"], round: int) -> MissingClasses:
    """Return the classes that a round could not test or train on; none if the record has no results by class.

    Args:
        records: records of a run, from round 0.
        round: k.
    """
    rows = class_rows(records, round)
    return MissingClasses(
        len(rows),
        tuple(row.name for row in rows if not row.test),
        tuple(row.name for row in rows if not row.labeled),
    )


def class_names(records: Sequence["RoundRecord"]) -> list[str]:
    """Return the newest class names, in the order of the numbers; empty if the records have none."""
    return next((record.class_names for record in reversed(records) if record.class_names), None) or []


def accuracy_scope(runs: Iterable[Sequence["RoundRecord"]]) -> str:
    """Return what final accuracies are of where test sets lack classes: ``accuracy on 1 of 2 classes``; else nothing.

    Args:
        runs: the records of each run, from round 0.
    """
    scopes = {missing_classes(records, len(records) - 1).scope for records in runs} - {""}
    return scopes.pop() if len(scopes) == 1 else "accuracy on some of the classes" if scopes else ""


def accuracy_name(records: Sequence["RoundRecord"]) -> str:
    """Return ``final accuracy``, or :attr:`MissingClasses.scope` if the test set lacks classes."""
    return accuracy_scope([records]) or "final accuracy"


def worst_first(rows: Sequence[ClassRow]) -> list[ClassRow]:
    """Sort rows: classes without test images first, then by ascending F1."""
    return sorted(rows, key=lambda row: (-1.0 if row.f1 is None else row.f1, row.number))


def segment_of(records: Sequence["RoundRecord"], round: int) -> Sequence["RoundRecord"]:
    """Return the records of all rounds with the classes of a round; renamed classes are the same ones.

    Args:
        records: records of a run, from round 0.
        round: k.
    """
    starts = [0, *(record.round for record in records if record.starts_segment), len(records)]
    first = max(start for start in starts[:-1] if start <= round)
    return records[first : next(start for start in starts if start > round)]


def say_segment(records: Sequence["RoundRecord"]) -> str:
    """Return ``round 4 on, with 3 classes`` if classes were merged or split before round 4; else nothing."""
    if not records or not (first := segment_of(records, len(records) - 1)[0]).starts_segment:
        return ""
    return f"round {first.round} on, with {counted(len(first.class_names or []), 'class')}"


def _train(records: Sequence["RoundRecord"]) -> list[int]:
    """Return the newest numbers of training images per class of these rounds; empty if they are unknown."""
    return next((record.train_class_counts for record in reversed(records) if record.train_class_counts), None) or []


def _names(records: Sequence["RoundRecord"], count: int) -> list[str]:
    """Return the newest class names; new classes come last, so earlier lists are prefixes."""
    known = class_names(records)
    return [*known[:count], *map(str, range(len(known), count))]


def _labeled(records: Sequence["RoundRecord"], count: int) -> list[int]:
    """Return the number of labels of each class that the model of the last of these rounds trained on."""
    if (known := records[-1].trained_class_counts) is not None:
        return [*known, *[0] * (count - len(known))]
    counts = [0] * count
    for label in (label for part in (records[0].initial, *(r.queried for r in records[:-1])) for label in part.label):
        counts[label] += 1
    return counts


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(f"'{name}'" for name in names[:_NAMED])
    return shown + (f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else "")


def _them(names: Sequence[str]) -> str:
    return "it" if len(names) == 1 else "them"


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)
