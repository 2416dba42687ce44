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

from msal_lightning.errors import UserError
from msal_lightning.io.atomic import write_atomically
from msal_lightning.io.json_files import read_json
from msal_lightning.oracles.base import Answer, Item, Question

INITIAL = "initial"
_NUMBER = re.compile(r"\d+", re.ASCII)  # of a round
ASKED_FILES = (r"rounds/(initial|[0-9]{3,})\.asked\.json",)
"""Of a run directory, see :mod:`~msal_lightning.io.own_files`."""
QUESTION_FILES = (r"queries/[^/]+\.(csv|html)", r"queries/label_studio\.json")
"""What oracles write there; a person may have put labels into them."""
_NAME = re.compile(r"(initial|round-\d+)(-\w+)*", re.ASCII)  # of files in queries, which must not lead elsewhere


@dataclass(frozen=True)
class Exchange:
    """A question and what was answered.

    Attributes:
        question: its files lie where they lay when it was asked.
        answers: one an item; None: not answered yet.
    """

    question: Question
    answers: tuple[Answer, ...] | None = None


@dataclass(frozen=True)
class Asked:
    """All that was asked to buy the labels of one round.

    Attributes:
        name: ``initial`` or ``round-003``.
        record: of the round as far as it is known without the labels; None for the initial set.
        exchanges: the question, and those for replacements of skipped images.
        num_images: images to learn from when the question was asked.
    """

    name: str
    record: dict[str, Any] | None = None
    exchanges: tuple[Exchange, ...] = field(default=())
    num_images: int | None = None

    @property
    def pending(self) -> Question | None:
        """What is waited for."""
        waiting = [exchange.question for exchange in self.exchanges if exchange.answers is None]
        return waiting[0] if waiting else None

    def ask(self, question: Question) -> "Asked":
        """With one more question."""
        return replace(self, exchanges=(*self.exchanges, Exchange(question)))

    def answer(self, answers: Sequence[Answer]) -> "Asked":
        """With the last question answered."""
        *before, last = self.exchanges
        return replace(self, exchanges=(*before, replace(last, answers=tuple(answers))))


def asked_file(run: Path, name: str) -> Path:
    """Where it lies in a run directory."""
    return run / "rounds" / f"{name.removeprefix('round-')}.asked.json"


def write_asked(run: Path, asked: Asked) -> None:
    """Keep it, whole or not at all."""
    exchanges = [
        {
            "name": exchange.question.name,
            "class_names": exchange.question.class_names,
            # where the images lie is for the data to say: folders move
            "items": [{k: v for k, v in asdict(item).items() if k != "file"} for item in exchange.question.items],
            "answers": None if exchange.answers is None else [asdict(answer) for answer in exchange.answers],
        }
        for exchange in asked.exchanges
    ]
    body = {"name": asked.name, "record": asked.record, "exchanges": exchanges, "num_images": asked.num_images}
    write_atomically(asked_file(run, asked.name), json.dumps(body, indent=1))


def read_asked(run: Path, name: str) -> Asked | None:
    """What is kept of a round, or None.

    Args:
        run: the run directory.
        name: ``initial`` or ``round-003``.

    Raises:
        UserError: the file is damaged.
    """
    file = asked_file(run, name)
    try:
        body = read_json(file)
        if body["name"] != name:
            raise ValueError("the name of a round is the name of its file")
        exchanges = tuple(_exchange(run, one) for one in body["exchanges"])
        return Asked(body["name"], body["record"], exchanges, body["num_images"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise UserError(
            f"the file '{file}' is damaged: delete it, and the round is trained again and asks the same"
        ) from None


def all_asked(run: Path) -> list[Asked]:
    """What is kept of all rounds, those of the initial set first.

    Args:
        run: the run directory.

    Raises:
        UserError: a file of it is damaged.
    """
    names = [file.name.removesuffix(".asked.json") for file in (run / "rounds").glob("*.asked.json")]
    names = [
        name if name == INITIAL else f"round-{name}" for name in names if name == INITIAL or _NUMBER.fullmatch(name)
    ]
    found = [read_asked(run, name) for name in sorted(names, key=lambda name: (name != INITIAL, name))]
    return [asked for asked in found if asked]


def pending(run: Path) -> Question | None:
    """What a run waits for, if it does.

    Args:
        run: the run directory.

    Raises:
        UserError: a file of it is damaged.
    """
    return next((asked.pending for asked in all_asked(run) if asked.pending), None)


def _exchange(run: Path, body: dict[str, Any]) -> Exchange:
    if not _NAME.fullmatch(body["name"]):
        raise ValueError("the name of a question is the name of a file")
    items = tuple(Item(**item, file=Path(item["path"])) for item in body["items"])
    question = Question(body["name"], items, tuple(body["class_names"]), run / "queries")
    answers = None if body["answers"] is None else tuple(Answer(**answer) for answer in body["answers"])
    return Exchange(question, answers)
