"""Labeling requests that are not recorded yet, on disk: ``rounds/initial.asked.json``, ``rounds/003.asked.json``.

A request stays until its round has a record. Therefore a later start does not train the round again, and accepted
annotations never change.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from msal_lightning.errors import RunError
from msal_lightning.io.atomic import write_atomically
from msal_lightning.io.json_files import read_json
from msal_lightning.oracles.base import Annotation, LabelingBatch, LabelingTask

INITIAL = "initial"
_NUMBER = re.compile(r"\d+", re.ASCII)  # number of a round
PENDING_FILES = (r"rounds/(initial|[0-9]{3,})\.asked\.json",)
"""Patterns of the request files, see :mod:`~msal_lightning.io.own_files`."""
BATCH_FILES = (r"queries/[^/]+\.(csv|html)", r"queries/label_studio\.json")
"""Patterns of the files that oracles write; annotators may have put labels into them."""
_NAME = re.compile(
    r"(initial|round-\d+)(-\w+)*", re.ASCII
)  # a file name in the folder queries, which must not point elsewhere


@dataclass(frozen=True)
class Exchange:
    """A labeling batch and its annotations.

    Attributes:
        batch: the batch; its paths are those at the time of the request.
        annotations: one annotation per image; None while labels are missing.
    """

    batch: LabelingBatch
    annotations: tuple[Annotation, ...] | None = None


@dataclass(frozen=True)
class PendingRequest:
    """The labeling requests of one round and the annotations received so far.

    Attributes:
        name: ``initial`` or ``round-003``.
        record: draft of the round's record, without labels; None for the initial set.
        exchanges: the first batch, then batches of replacements for skipped images.
        num_images: number of training images at the time of the request.
    """

    name: str
    record: dict[str, Any] | None = None
    exchanges: tuple[Exchange, ...] = field(default=())
    num_images: int | None = None

    @property
    def pending(self) -> LabelingBatch | None:
        """The batch that awaits annotations, if any."""
        waiting = [exchange.batch for exchange in self.exchanges if exchange.annotations is None]
        return waiting[0] if waiting else None

    def ask(self, batch: LabelingBatch) -> "PendingRequest":
        """Return the request with one more batch."""
        return replace(self, exchanges=(*self.exchanges, Exchange(batch)))

    def annotate(self, annotations: Sequence[Annotation]) -> "PendingRequest":
        """Return the request with annotations for the last batch."""
        *before, last = self.exchanges
        return replace(self, exchanges=(*before, replace(last, annotations=tuple(annotations))))


def round_name(round: int) -> str:
    """Return the name of a round's request, ``round-003``."""
    return f"round-{round:03d}"


def pending_file(run: Path, name: str) -> Path:
    """Return the path of a request file."""
    return run / "rounds" / f"{name.removeprefix('round-')}.asked.json"


def write_pending(run: Path, request: PendingRequest) -> None:
    """Write a request atomically."""
    exchanges = [
        {
            "name": exchange.batch.name,
            "class_names": exchange.batch.class_names,
            # absolute paths are left out, because folders move
            "items": [{k: v for k, v in asdict(item).items() if k != "file"} for item in exchange.batch.items],
            "answers": None
            if exchange.annotations is None
            else [_answer(annotation) for annotation in exchange.annotations],
        }
        for exchange in request.exchanges
    ]
    body = {"name": request.name, "record": request.record, "exchanges": exchanges, "num_images": request.num_images}
    write_atomically(pending_file(run, request.name), json.dumps(body, indent=1))


def read_pending(run: Path, name: str) -> PendingRequest | None:
    """Read the request of a round; None if there is none.

    Args:
        run: the run directory.
        name: ``initial`` or ``round-003``.

    Raises:
        RunError: the file is damaged.
    """
    file = pending_file(run, name)
    try:
        body = read_json(file)
        if body["name"] != name:
            raise ValueError("the name of a request must match its file name")
        exchanges = tuple(_exchange(run, one) for one in body["exchanges"])
        return PendingRequest(body["name"], body["record"], exchanges, body["num_images"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise RunError(
            f"the file '{file}' is damaged: delete it, and the run trains the round again and sends the same request"
        ) from None


def all_pending(run: Path) -> list[PendingRequest]:
    """Read the requests of all rounds; the initial set comes first.

    Args:
        run: the run directory.

    Raises:
        RunError: a request file is damaged.
    """
    names = [file.name.removesuffix(".asked.json") for file in (run / "rounds").glob("*.asked.json")]
    names = [
        name if name == INITIAL else f"round-{name}" for name in names if name == INITIAL or _NUMBER.fullmatch(name)
    ]
    found = [read_pending(run, name) for name in sorted(names, key=lambda name: (name != INITIAL, name))]
    return [request for request in found if request]


def open_requests(run: Path, num_records: int) -> list[PendingRequest]:
    """Return the requests whose labels no record has; a kill may leave the files of others behind.

    Args:
        run: the run directory.
        num_records: number of records, without that of a reopened round.

    Raises:
        RunError: a request file is damaged.
    """
    return [
        one
        for one in all_pending(run)
        if num_records <= (0 if one.name == INITIAL else int(one.name.removeprefix("round-")))
    ]


def open_batches(run: Path, num_records: int) -> list[LabelingBatch]:
    """Return the batches whose labels are missing; that of the next round comes first.

    Args:
        run: the run directory.
        num_records: see :func:`open_requests`.

    Raises:
        RunError: a request file is damaged.
    """
    return [one.pending for one in open_requests(run, num_records) if one.pending]


def pending(run: Path) -> LabelingBatch | None:
    """Return the batch that a run waits for; None if it waits for none.

    Args:
        run: the run directory.

    Raises:
        RunError: a request file is damaged.
    """
    return next((request.pending for request in all_pending(run) if request.pending), None)


def _exchange(run: Path, body: dict[str, Any]) -> Exchange:
    if not _NAME.fullmatch(body["name"]):
        raise ValueError("the name of a batch must be a file name")
    items = tuple(LabelingTask(**item, file=Path(item["path"])) for item in body["items"])
    batch = LabelingBatch(body["name"], items, tuple(body["class_names"]), run / "queries")
    given = body["answers"]  # the key on disk
    return Exchange(batch, None if given is None else tuple(map(_annotation, given)))


def _answer(annotation: Annotation) -> dict[str, Any]:
    """Return an annotation as plain values."""
    return {key: value for key, value in asdict(annotation).items() if key != "votes" or value}


def _annotation(answer: dict[str, Any]) -> Annotation:
    votes = tuple((str(name), str(word)) for name, word in answer.get("votes", ()))
    return Annotation(answer["label"], answer["reason"], votes)
