"""What was asked for and not recorded yet, on disk: ``rounds/initial.asked.json``, ``rounds/003.asked.json``.

It stays until the record of its round is there, so that a later start goes on without training the round again, and
so that an answer that was taken over once stays what it was.
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
_NUMBER = re.compile(r"\d+", re.ASCII)  # of a round
PENDING_FILES = (r"rounds/(initial|[0-9]{3,})\.asked\.json",)
"""Of a run directory, see :mod:`~msal_lightning.io.own_files`."""
BATCH_FILES = (r"queries/[^/]+\.(csv|html)", r"queries/label_studio\.json")
"""What oracles write there; a person may have put labels into them."""
_NAME = re.compile(r"(initial|round-\d+)(-\w+)*", re.ASCII)  # of files in queries, which must not lead elsewhere


@dataclass(frozen=True)
class Exchange:
    """A question and what was answered.

    Attributes:
        question: its files lie where they lay when it was asked.
        answers: one an item; None: not answered yet.
    """

    batch: LabelingBatch
    answers: tuple[Annotation, ...] | None = None


@dataclass(frozen=True)
class PendingRequest:
    """All that was asked to buy the labels of one round.

    Attributes:
        name: ``initial`` or ``round-003``.
        record: of the round as far as it is known without the labels; None for the initial set.
        exchanges: the question, and those for replacements of skipped images.
        num_images: training images when the question was asked.
    """

    name: str
    record: dict[str, Any] | None = None
    exchanges: tuple[Exchange, ...] = field(default=())
    num_images: int | None = None

    @property
    def pending(self) -> LabelingBatch | None:
        """What is waited for."""
        waiting = [exchange.batch for exchange in self.exchanges if exchange.answers is None]
        return waiting[0] if waiting else None

    def ask(self, batch: LabelingBatch) -> "PendingRequest":
        """With one more question."""
        return replace(self, exchanges=(*self.exchanges, Exchange(batch)))

    def answer(self, answers: Sequence[Annotation]) -> "PendingRequest":
        """With the last question answered."""
        *before, last = self.exchanges
        return replace(self, exchanges=(*before, replace(last, answers=tuple(answers))))


def pending_file(run: Path, name: str) -> Path:
    """Where it lies in a run directory."""
    return run / "rounds" / f"{name.removeprefix('round-')}.asked.json"


def write_pending(run: Path, request: PendingRequest) -> None:
    """Keep it, whole or not at all."""
    exchanges = [
        {
            "name": exchange.batch.name,
            "class_names": exchange.batch.class_names,
            # where the images lie is for the data to say: folders move
            "items": [{k: v for k, v in asdict(item).items() if k != "file"} for item in exchange.batch.items],
            "answers": None if exchange.answers is None else [asdict(answer) for answer in exchange.answers],
        }
        for exchange in request.exchanges
    ]
    body = {"name": request.name, "record": request.record, "exchanges": exchanges, "num_images": request.num_images}
    write_atomically(pending_file(run, request.name), json.dumps(body, indent=1))


def read_pending(run: Path, name: str) -> PendingRequest | None:
    """What is kept of a round, or None.

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
            raise ValueError("the name of a round is the name of its file")
        exchanges = tuple(_exchange(run, one) for one in body["exchanges"])
        return PendingRequest(body["name"], body["record"], exchanges, body["num_images"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise RunError(
            f"the file '{file}' is damaged: delete it, and the round is trained again and asks the same"
        ) from None


def all_pending(run: Path) -> list[PendingRequest]:
    """What is kept of all rounds, those of the initial set first.

    Args:
        run: the run directory.

    Raises:
        RunError: a file of it is damaged.
    """
    names = [file.name.removesuffix(".asked.json") for file in (run / "rounds").glob("*.asked.json")]
    names = [
        name if name == INITIAL else f"round-{name}" for name in names if name == INITIAL or _NUMBER.fullmatch(name)
    ]
    found = [read_pending(run, name) for name in sorted(names, key=lambda name: (name != INITIAL, name))]
    return [request for request in found if request]


def pending(run: Path) -> LabelingBatch | None:
    """What a run waits for, if it does.

    Args:
        run: the run directory.

    Raises:
        RunError: a file of it is damaged.
    """
    return next((request.pending for request in all_pending(run) if request.pending), None)


def _exchange(run: Path, body: dict[str, Any]) -> Exchange:
    if not _NAME.fullmatch(body["name"]):
        raise ValueError("the name of a question is the name of a file")
    items = tuple(LabelingTask(**item, file=Path(item["path"])) for item in body["items"])
    batch = LabelingBatch(body["name"], items, tuple(body["class_names"]), run / "queries")
    answers = None if body["answers"] is None else tuple(Annotation(**answer) for answer in body["answers"])
    return Exchange(batch, answers)
