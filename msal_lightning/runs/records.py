"""One atomic record for each finished round: the truth of a run, from which all else is derived."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msal_lightning.data.places import Place
from msal_lightning.errors import RunError
from msal_lightning.io.json_files import read_json
from msal_lightning.io.typed import check_types
from msal_lightning.models.class_results import ClassResults

if TYPE_CHECKING:
    from torch import Tensor

FORMAT = 4
"""Of a record; a change that an older version cannot read raises it."""
_LEFT_OUT_WHERE_NONE = ("skipped", "class_names", "held_out", "data", "test_classes", "resolved")
_ON_DISK = {"queried": "bought", "train_class_counts": "learn_class_counts"}  # keys of the first versions

RECORD_NAME = r"[0-9]{3,}\.json"


@dataclass(frozen=True)
class LabeledImages:
    """Labels that came in together, in the order of their rank.

    Attributes:
        index: dataset-absolute.
        label: what the oracle said.
        score: of the query strategy; None where it has none.
        path: of the files; None for a dataset that is not made of files.
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
    """Predictions that the next fit trains on as if they were labels.

    Attributes:
        index: dataset-absolute.
        label: what the model predicted.
        wrong: how many of them are wrong; None where nobody knows.
        threshold: of the uncertainty, below which an image gets one; None in records made before it was kept, or where
            the strategy has none.
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
    """Images that a person was asked about and did not label, in the order of the questions.

    Attributes:
        index: dataset-absolute.
        reason: of each: skip or unsure.
        path: of each, as in the ledger.
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
class RoundRecord:
    """What one finished round was; enough to rebuild the split, the curve and the ledger.

    Attributes:
        round: k, from 0.
        num_labeled: labels that were paid for before this round: its model was trained on all that are not held out.
        num_pool: images in the pool before the query.
        num_scored: of these, how many the model looked at: all, or loop.pool_limit, or none for Random.
        metrics: on the test set; ``accuracy`` is always there.
        seconds: per phase: fit, test, query.
        pool_error: share of the pool that the model got wrong (Fig. 3); None where not known.
        class_counts: labels queried per class by this round's query.
        queried: by this round's query, trained on from round k+1.
        initial: the initial set; empty but in round 0.
        environment: versions and device.
        train_class_counts: training images per class, in the record of round 0; None where nobody knows.
        num_test: images of the test set; None in records made before it was kept.
        pseudo_labels: made by this round's query, trained on in round k+1 only; None where the strategy makes none.
        skipped: images that left the pool without a label, in round 0 those of the initial set too; None where nobody
            was asked.
        class_names: known after this round's query, in the order of their numbers; None where they are as before.
        held_out: the labels that the run is tested on, in round 0; None where the data has a test set.
        data: in round 0, digest and number of the training and test images; ``images.jsonl.gz`` has each of them.
        test_classes: what the test found for each class; None in records made before it was kept.
        resolved: options that the data found out from its files, in round 0: value ranges, mean and std; None where it
            is not made of files.
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
    pseudo_labels: PseudoLabels | None = None  # from here on since format 2
    num_scored: int | None = None
    train_class_counts: list[int] | None = None
    num_test: int | None = None
    skipped: Skipped | None = None  # from here on since format 3
    class_names: list[str] | None = None
    held_out: LabeledImages | None = None
    data: dict[str, Any] | None = None  # since format 4
    test_classes: ClassResults | None = None
    resolved: dict[str, Any] | None = None

    def moves(self) -> "list[tuple[LabeledImages, int]]":
        """The labeled images that the record holds, each part with its ``labeled_at`` afterwards, in their order."""
        held_out = [(self.held_out, Place.HELD_OUT.value)] if self.held_out else []
        return [*held_out, (self.initial, 0), (self.queried, self.round + 1)]

    @property
    def accuracy(self) -> float:
        """On the test set."""
        return self.metrics["accuracy"]


def aubc(records: list[RoundRecord]) -> float:
    """Area under the budget curve of a run; NaN for a single round."""
    from msal_lightning.models.metrics import area_under_budget_curve  # torch, which reading records does without

    return area_under_budget_curve([r.num_labeled for r in records], [r.accuracy for r in records])


def read_records(path: Path) -> list[RoundRecord]:
    """All finished rounds of a run directory, in order.

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
                f"expected the record of round {k} in '{path / 'rounds'}', found round {record.round} next: put "
                f"{k:03d}.json back; or move the later ones to another folder, which keeps their labels, to go on from "
                f"round {k}"
            )
    return records


def read_record(file: Path) -> RoundRecord:
    """The record in a file.

    Raises:
        RunError: it is damaged, was changed by hand, or is of a later version.
    """
    remedy = (
        "put a copy of it back; or move it and all later ones to another folder, which keeps their labels, and round "
        f"{int(file.stem)} is done again"
    )
    try:
        body = read_json(file)
        version, digest = body.pop("format"), body.pop("digest")
    except PermissionError as error:
        raise RunError(f"cannot read the record '{file}' ({error.strerror}): give it back to you") from None
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
    """The record of values that may be a stranger's.

    Raises:
        TypeError: a field has another type, or is missing or unknown.
        ValueError: parts of it do not fit each other.
    """
    record = record_of(body)
    check_types(record)
    parts = [part for part in (record.initial, record.queried, record.held_out) if part is not None]
    for part in parts:
        lengths = {len(column) for column in (part.index, part.label, part.score, part.path) if column is not None}
        if len(lengths) > 1 or min([*part.index, *part.label], default=0) < 0:
            raise ValueError("columns of different lengths, or a negative index")
    if "accuracy" not in record.metrics or min(record.num_labeled, record.round) < 0:
        raise ValueError("no accuracy, or a negative number")
    return record


def record_body(record: RoundRecord) -> dict[str, Any]:
    """A record as plain values."""
    body = {k: v for k, v in asdict(record).items() if v is not None or k not in _LEFT_OUT_WHERE_NONE}
    return {_ON_DISK.get(name, name): value for name, value in body.items()}


def record_of(body: Mapping[str, Any]) -> RoundRecord:
    """The record of plain values."""
    former = {key: name for name, key in _ON_DISK.items()}
    body = {former.get(key, key): value for key, value in body.items()}
    labeled = dict.fromkeys(("queried", "initial", "held_out"), LabeledImages)
    parts: dict[str, type] = {
        **labeled,
        "pseudo_labels": PseudoLabels,
        "skipped": Skipped,
        "test_classes": ClassResults,
    }
    made = {key: part(**body[key]) for key, part in parts.items() if body.get(key)}
    return RoundRecord(**{**body, **made})


def _int64(values: list[int]) -> "Tensor":
    import torch  # not above: `status` and `report` read records without it

    return torch.tensor(values, dtype=torch.int64)


def digest_of(body: Mapping[str, Any]) -> str:
    """Eight bytes of BLAKE2s over plain values, in hexadecimal."""
    return hashlib.blake2s(json.dumps(body, sort_keys=True).encode(), digest_size=8).hexdigest()
