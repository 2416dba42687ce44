"""One record for each finished round, written atomically; all other files of a run are derived from records."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msal_lightning.data.class_numbers import keep_numbers
from msal_lightning.data.places import Place
from msal_lightning.errors import RunError
from msal_lightning.io.json_files import read_json
from msal_lightning.io.typed import check_types
from msal_lightning.models.class_results import ClassResults
from msal_lightning.stopping.base import StopSet

if TYPE_CHECKING:
    from torch import Tensor

FORMAT = 4
"""Format number of a record; a change that older versions cannot read increments it."""
_LEFT_OUT_WHERE_NONE = (
    "skipped",
    "class_names",
    "held_out",
    "data",
    "test_classes",
    "resolved",
    "votes",
    "trained_class_counts",
    "class_numbers",
    "stop_set",
    "upcoming",
)
_ON_DISK = {"queried": "bought", "train_class_counts": "learn_class_counts"}  # keys of the first versions

RECORD_NAME = r"[0-9]{3,}\.json"


@dataclass(frozen=True)
class LabeledImages:
    """Images that were labeled together, best first.

    Attributes:
        index: dataset-absolute indices.
        label: labels from the oracle.
        score: scores of the query strategy; None if it has no score.
        path: paths of the image files; None for a dataset without image files.
    """

    index: list[int] = field(default_factory=list)
    label: list[int] = field(default_factory=list)
    score: list[float] | None = None
    path: list[str] | None = None

    def tensors(self) -> "tuple[Tensor, Tensor]":
        """Indices and labels, (n,) int64 each."""
        return _int64(self.index), _int64(self.label)


@dataclass(frozen=True)
class PseudoLabels:
    """Predictions that the next fit uses as labels.

    Attributes:
        index: dataset-absolute indices.
        label: predicted classes.
        wrong: number of wrong pseudo-labels; None if unknown.
        threshold: images with a lower uncertainty get a pseudo-label; None in records of older versions, or if the
            strategy has no threshold.
    """

    index: list[int] = field(default_factory=list)
    label: list[int] = field(default_factory=list)
    wrong: int | None = None
    threshold: float | None = None

    def tensors(self) -> "tuple[Tensor, Tensor]":
        """Indices and labels, (n,) int64 each."""
        return _int64(self.index), _int64(self.label)


@dataclass(frozen=True)
class Skipped:
    """Images that annotators skipped, in the order of the requests.

    Attributes:
        index: dataset-absolute indices.
        reason: skip or unsure for each image.
        path: path of each image, as in the ledger.
    """

    index: list[int] = field(default_factory=list)
    reason: list[str] = field(default_factory=list)
    path: list[str] = field(default_factory=list)

    def tensor(self) -> "Tensor":
        """Indices, (n,) int64."""
        return _int64(self.index)

    def __add__(self, other: "Skipped") -> "Skipped":
        return Skipped([*self.index, *other.index], [*self.reason, *other.reason], [*self.path, *other.path])


@dataclass(frozen=True)
class Votes:
    """What annotators said about images, in the order of the requests; an image has a row for each of its annotators.

    Attributes:
        index: dataset-absolute indices.
        annotator: names.
        label: class, skip or unsure.
    """

    index: list[int] = field(default_factory=list)
    annotator: list[str] = field(default_factory=list)
    label: list[str] = field(default_factory=list)

    def __add__(self, other: "Votes") -> "Votes":
        return Votes([*self.index, *other.index], [*self.annotator, *other.annotator], [*self.label, *other.label])

    def __bool__(self) -> bool:
        return bool(self.index)


@dataclass(frozen=True)
class Upcoming:
    """Images that queries chose ahead of their round, best first.

    Attributes:
        index: dataset-absolute indices.
        score: scores of the query strategy; None if it has no score.
    """

    index: list[int] = field(default_factory=list)
    score: list[float] | None = None


@dataclass(frozen=True)
class RoundRecord:
    """The result of one finished round; the split, the curve and the ledger can be rebuilt from all records.

    Attributes:
        round: k, from 0.
        num_labeled: number of labels before this round; the round's model trained on all that are not held out.
        num_pool: number of images in the pool before the query.
        num_scored: number of pool images that the model scored: all, loop.pool_limit, or none for Random.
        metrics: results on the test set; ``accuracy`` is always present.
        seconds: duration of each phase: fit, test, query.
        pool_error: error rate on the pool (Fig. 3); None if unknown.
        class_counts: number of labels per class that this round's query added.
        queried: images that this round's query selected; models train on them from round k+1.
        initial: the initial set; empty except in round 0.
        environment: versions and device.
        train_class_counts: number of training images per class, in the record of round 0 and of each round with other
            classes; None if unknown.
        num_test: number of test images; None in records of older versions.
        pseudo_labels: pseudo-labels of this round's query, used in round k+1 only; None if the strategy makes none.
        skipped: images that left the pool without a label, in round 0 including those of the initial set; None without
            annotators.
        class_names: class names after this round's query, in the order of their numbers; None if unchanged.
        held_out: labels that the run is tested on, in round 0; None if the data has a test set.
        data: in round 0, digest and number of the training and test images; ``images.jsonl.gz`` lists each image.
        test_classes: test results of each class; None in records of older versions.
        votes: what annotators said about the images of this round's query, in round 0 also about those of the initial
            set; None if nobody is named.
        resolved: in round 0, options that were determined from the image files: value ranges, mean and std; None for a
            dataset without image files.
        trained_class_counts: number of labels of each class that the round's model trained on, if labels were corrected
            or removed before, or have other classes; None if the records before tell it.
        class_numbers: new number of each class of the round before, if classes were merged, split or renamed since; -1
            for a class that was split. ``class_names`` has the new names.
        upcoming: images that are chosen already for later rounds; None without ``loop.lag``.
        stop_set: predictions that a stopping criterion compares from round to round; None without such a criterion.
    """

    round: int
    num_labeled: int
    num_pool: int
    metrics: dict[str, float]
    seconds: dict[str, float]
    pool_error: float | None
    class_counts: list[int]
    queried: LabeledImages
    initial: LabeledImages
    environment: dict[str, str]
    pseudo_labels: PseudoLabels | None = None  # new in format 2
    num_scored: int | None = None
    train_class_counts: list[int] | None = None
    num_test: int | None = None
    skipped: Skipped | None = None  # new in format 3
    class_names: list[str] | None = None
    held_out: LabeledImages | None = None
    data: dict[str, Any] | None = None  # new in format 4
    test_classes: ClassResults | None = None
    resolved: dict[str, Any] | None = None
    trained_class_counts: list[int] | None = None
    votes: Votes | None = None
    class_numbers: list[int] | None = None
    stop_set: StopSet | None = None
    upcoming: Upcoming | None = None

    def moves(self) -> "list[tuple[LabeledImages, int]]":
        """Return the record's labeled images in order, each group with its new ``labeled_at``."""
        held_out = [(self.held_out, Place.HELD_OUT.value)] if self.held_out else []
        return [*held_out, (self.initial, 0), (self.queried, self.round + 1)]

    @property
    def accuracy(self) -> float:
        """The accuracy on the test set."""
        return self.metrics["accuracy"]

    @property
    def starts_segment(self) -> bool:
        """Whether classes were merged or split before this round, so that its accuracy answers another question."""
        return self.class_numbers is not None and not keep_numbers(self.class_numbers)


def last_segment(records: Sequence[RoundRecord]) -> list[RoundRecord]:
    """Return the rounds with the present classes: those since classes were merged or split, or all.

    Args:
        records: records of a run, in order.
    """
    start = max((k for k, record in enumerate(records) if record.starts_segment), default=0)
    return [*records[start:]]


def aubc(records: Sequence[RoundRecord]) -> float:
    """Return the area under the budget curve of a run, over its :func:`last_segment`; NaN for a single round."""
    records = last_segment(records)
    from msal_lightning.models.metrics import (
        area_under_budget_curve,
    )  # imports torch, which readers of records do not need

    return area_under_budget_curve([r.num_labeled for r in records], [r.accuracy for r in records])


def read_records(path: Path) -> list[RoundRecord]:
    """Read the records of all finished rounds of a run directory, in order.

    Args:
        path: the run directory.

    Raises:
        RunError: a record is damaged, changed by hand or missing; nothing is written.
    """
    files = sorted(
        (f for f in (path / "rounds").glob("*.json") if re.fullmatch(RECORD_NAME, f.name)), key=lambda f: int(f.stem)
    )
    records = [read_record(file) for file in files]
    for k, record in enumerate(records):
        if record.round != k:
            raise RunError(
                f"expected the record of round {k} in '{path / 'rounds'}', found round {record.round} next: restore "
                f"{k:03d}.json; or move the later records to another folder, which keeps their labels, to resume from "
                f"round {k}"
            )
    return records


def read_record(file: Path) -> RoundRecord:
    """Read the record in a file.

    Raises:
        RunError: the record is damaged, was changed by hand, or is from a later version.
    """
    remedy = (
        "restore a copy of it; or move it and all later records to another folder, which keeps their labels, to repeat "
        f"round {int(file.stem)}"
    )
    try:
        body = read_json(file)
        version, digest = body.pop("format"), body.pop("digest")
    except PermissionError as error:
        raise RunError(f"cannot read the record '{file}' ({error.strerror}): make the file readable") from None
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        raise RunError(f"the record '{file}' is damaged: {remedy}") from None
    if version not in (3, FORMAT):
        raise RunError(f"expected the record '{file}' in format {FORMAT}, got {version}: {remedy}")
    if digest != digest_of(body):
        raise RunError(f"the record '{file}' was changed after it was written: {remedy}")
    try:
        return checked_record_of(body)
    except (TypeError, ValueError, KeyError, AttributeError):
        raise RunError(f"the record '{file}' is damaged: {remedy}") from None


def checked_record_of(body: Mapping[str, Any]) -> RoundRecord:
    """Check values that may come from a stranger, and make a record of them.

    Raises:
        TypeError: a field has another type, or is missing or unknown.
        ValueError: fields do not fit each other.
    """
    record = record_of(body)
    check_types(record)
    parts = [part for part in (record.initial, record.queried, record.held_out) if part is not None]
    for part in parts:
        lengths = {len(column) for column in (part.index, part.label, part.score, part.path) if column is not None}
        if len(lengths) > 1 or min([*part.index, *part.label], default=0) < 0:
            raise ValueError("columns of different lengths, or a negative index")
    if record.votes and len({len(record.votes.index), len(record.votes.annotator), len(record.votes.label)}) > 1:
        raise ValueError("votes of different lengths")
    if record.upcoming and record.upcoming.score and len(record.upcoming.score) != len(record.upcoming.index):
        raise ValueError("scores of another number of images")
    if record.stop_set and len(record.stop_set.index) != len(record.stop_set.predicted):
        raise ValueError("predictions of different lengths")
    if "accuracy" not in record.metrics or min(record.num_labeled, record.round) < 0:
        raise ValueError("no accuracy, or a negative number")
    return record


def record_body(record: RoundRecord) -> dict[str, Any]:
    """Return a record as plain values."""
    body = {k: v for k, v in asdict(record).items() if v is not None or k not in _LEFT_OUT_WHERE_NONE}
    return {_ON_DISK.get(name, name): value for name, value in body.items()}


def record_of(body: Mapping[str, Any]) -> RoundRecord:
    """Make a record from plain values."""
    former = {key: name for name, key in _ON_DISK.items()}
    body = {former.get(key, key): value for key, value in body.items()}
    labeled = dict.fromkeys(("queried", "initial", "held_out"), LabeledImages)
    parts: dict[str, type] = {
        **labeled,
        "pseudo_labels": PseudoLabels,
        "skipped": Skipped,
        "test_classes": ClassResults,
        "votes": Votes,
        "stop_set": StopSet,
        "upcoming": Upcoming,
    }
    made = {key: part(**body[key]) for key, part in parts.items() if body.get(key)}
    return RoundRecord(**{**body, **made})


def _int64(values: list[int]) -> "Tensor":
    import torch  # imported here, because `status` and `report` read records without torch

    return torch.tensor(values, dtype=torch.int64)


def digest_of(body: Mapping[str, Any]) -> str:
    """Hash plain values: eight bytes of BLAKE2s, in hexadecimal."""
    return hashlib.blake2s(json.dumps(body, sort_keys=True).encode(), digest_size=8).hexdigest()
