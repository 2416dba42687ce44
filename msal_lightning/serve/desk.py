"""The desk between people and the loop: it lends each open image to one browser, and passes answers on."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from msal_lightning.data.places import REASONS
from msal_lightning.errors import AnnotationError, RunError
from msal_lightning.oracles.base import LabelingBatch, LabelingTask

PATIENCE = 90.0
"""Seconds without a sign of life until the images of a browser are given back; a hidden tab may sleep for a minute."""
GRACE = 1.5
"""Seconds in which the last answer of a batch can be taken back, unless another answer follows it."""

_QUIET = 10.0  # seconds without a sign of life until others may have the images, if none are left for them
_KEPT = 3  # images that nobody takes from a browser which is there

Tell = Callable[[Mapping[str, str], str], None]


@dataclass(frozen=True)
class Card:
    """An open image.

    Attributes:
        task: the image, with the prediction of the model that selected it.
        batch: name of its labeling batch.
        known: number of labels that this model knew; None if unknown.
    """

    task: LabelingTask
    batch: str
    known: int | None


class Desk:
    """Lends open images to browsers, and keeps what they answered until the loop takes it.

    An image is lent to one browser at a time. It comes back when the browser leaves, or falls silent, without an
    answer; nothing is forgotten. An answer is accepted once ``tell`` has written it to disk. The methods may be called
    from any thread.

    Args:
        tell: writes answers to disk: words by path, and the annotator. A blank word takes an answer back.
        allow_new_classes: whether an answer may name a new class.
        patience: seconds, see :data:`PATIENCE`.
        clock: tells the seconds.
    """

    def __init__(
        self,
        tell: Tell,
        allow_new_classes: bool = False,
        patience: float = PATIENCE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.allow_new_classes = allow_new_classes
        self._tell, self._patience, self._clock = tell, patience, clock
        self._changed = threading.Condition()
        self._cards: dict[int, Card] = {}  # by index, in the order in which they are lent
        self._words: dict[int, str] = {}  # answers to open images
        self._given_by: dict[int, str] = {}  # browser of each answer, as long as this process knows
        self._lent: dict[int, str] = {}
        self._seen: dict[str, float] = {}  # last sign of life of each browser
        self._classes: list[str] = []
        self._facts: dict[str, Any] = {}
        self._phase, self._trouble = "start", ""
        self._last_answer = 0.0
        self._began: float | None = None  # when the loop took the last answers
        self._learned_in: float | None = None

    # ---------------------------------------------------------------- the loop's side

    def show(
        self, batches: Sequence[LabelingBatch], told: Mapping[str, str], known: Mapping[str, int], facts: dict[str, Any]
    ) -> None:
        """Open batches in the place of the former ones.

        Args:
            batches: the open batches, the one that the loop waits for first.
            told: answers on disk to the images that were not open before, by path.
            known: number of labels that the model knew which selected a batch, by name of the batch.
            facts: what the page says about the run, see :mod:`~msal_lightning.serve.facts`.
        """
        with self._changed:
            now = {
                task.index: Card(task, batch.name, known.get(batch.name)) for batch in batches for task in batch.items
            }
            # of images that are open already, an answer may have come after `told` was read
            said = {i: self._words.get(i) if i in self._cards else told.get(now[i].task.path) for i in now}
            self._words = {i: word for i, word in said.items() if word}
            self._given_by = {i: who for i, who in self._given_by.items() if i in self._words}
            self._lent = {i: who for i, who in self._lent.items() if i in now and i not in self._words}
            self._cards, self._facts = now, facts
            named = [*(name for batch in batches for name in batch.class_names), *self._words.values()]
            self._classes = [name for name in dict.fromkeys(named) if name not in REASONS]
            self._phase, self._trouble = "label", ""
            if self._began is not None:
                self._learned_in = self._clock() - self._began
            self._changed.notify_all()

    def wait(self, batch: LabelingBatch, grace: float = GRACE) -> None:
        """Return when all images of a batch have an answer that nobody takes back any more.

        Args:
            batch: one of the open batches.
            grace: seconds, see :data:`GRACE`.
        """
        index = [task.index for task in batch.items]
        with self._changed:
            while True:
                if not all(i in self._words for i in index):
                    self._changed.wait(1.0)  # a signal gets its turn
                    continue
                later = any(i not in index for i in self._words)  # somebody is at the next batch already
                left = 0.0 if later else self._last_answer + grace - self._clock()
                if left <= 0:
                    break
                self._changed.wait(left)
            self._trouble = ""
            self._phase, self._began = "fit", self._clock()

    def finish(self, facts: dict[str, Any]) -> None:
        """Say that the run has finished."""
        with self._changed:
            self._cards, self._words, self._lent, self._facts = {}, {}, {}, facts
            self._phase = "done"

    def fail(self, sentence: str) -> None:
        """Say that the loop has ended by an error."""
        with self._changed:
            self._phase, self._trouble = "error", sentence

    def object(self, sentence: str) -> None:
        """Return when an answer has been taken back, after the loop has refused the answers as they are.

        Args:
            sentence: the reason, which the page shows.
        """
        with self._changed:
            self._phase, self._trouble = "label", sentence
            before = dict(self._words)
            while self._words == before:
                self._changed.wait(1.0)

    # ---------------------------------------------------------------- the side of the people

    def take(self, browser: str, want: int) -> list[Card]:
        """Return the images that a browser has, with new ones if it has fewer than it wants; a sign of life.

        Args:
            browser: identifies the browser.
            want: number of images.

        Returns:
            Images without an answer, first queried first.
        """
        with self._changed:
            self._alive(browser)
            count = sum(who == browser for who in self._lent.values())
            for i in self._cards:
                if count >= want:
                    break
                if i not in self._words and i not in self._lent:
                    self._lent[i] = browser
                    count += 1
            if want and not count:
                self._lent |= dict.fromkeys(self._spare(want), browser)
            return [card for i, card in self._cards.items() if self._lent.get(i) == browser]

    def answer(self, browser: str, words: Mapping[int, str], annotator: str = "") -> dict[int, str]:
        """Accept answers; they are on disk when this method returns.

        Args:
            browser: identifies the browser.
            words: a class, skip or unsure by index of the image; blank to take the browser's answer back, upon which
                it has the image again.
            annotator: who answers; blank for nobody in particular.

        Returns:
            Refused answers: the reason by index.

        Raises:
            RunError: the disk does not take them, or the loop has not been opened yet.
        """
        with self._changed:
            self._alive(browser)
            if self._phase == "start":
                raise RunError("the run is being opened: send the answers again")
            refused = {i: why for i, word in words.items() if (why := self._refuses(browser, i, word))}
            accepted = {i: word for i, word in words.items() if i not in refused and self._words.get(i, "") != word}
            try:
                self._pass_on(browser, accepted, annotator)
            except AnnotationError as error:
                if len(accepted) == 1:
                    return {**refused, next(iter(accepted)): str(error)}
                for i, word in accepted.items():  # one of them is wrong
                    refused |= self.answer(browser, {i: word}, annotator)
            return refused

    def leave(self, browser: str) -> None:
        """Give the images of a browser back."""
        with self._changed:
            self._seen.pop(browser, None)
            self._lent = {i: who for i, who in self._lent.items() if who != browser}
            self._changed.notify_all()

    def state(self) -> dict[str, Any]:
        """Return what every page shows, as plain JSON values."""
        with self._changed:
            self._forget_silent()
            labels = sum(word not in REASONS for word in self._words.values())
            return {
                **self._facts,
                "phase": self._phase,
                "trouble": self._trouble,
                "classes": self._classes,
                "allow_new": self.allow_new_classes,
                "learned_in": self._learned_in,
                "people": len(self._seen),
                "open": len(self._cards),
                "answered": len(self._words),
                "lent": len(self._lent),
                "given": self._facts.get("labels", 0) + labels,
            }

    def open_cards(self) -> list[Card]:
        """Return the open images without an answer, whoever has them."""
        with self._changed:
            return [card for i, card in self._cards.items() if i not in self._words]

    def places(self) -> dict[int, str]:
        """Return the open images, each with its answer; blank where there is none."""
        with self._changed:
            return {i: self._words.get(i, "") for i in self._cards}

    # ---------------------------------------------------------------- inside

    def _refuses(self, browser: str, i: int, word: str) -> str:
        """Return why an answer is refused; blank if it is not."""
        if i not in self._cards:
            return "the model has learned from its answer already; `correct` changes it for later fits"
        if i not in self._words:
            return "somebody else has this image" if self._lent.get(i, browser) != browser else ""
        if word:
            return f"it has an answer already: {self._words[i]}" if self._words[i] != word else ""
        return "somebody else has answered it" if self._given_by.get(i, browser) != browser else ""

    def _pass_on(self, browser: str, words: Mapping[int, str], annotator: str) -> None:
        if not words:
            return
        self._tell({self._cards[i].task.path: word for i, word in words.items()}, annotator)
        for i, word in words.items():
            if word:
                self._words[i], self._given_by[i] = word, browser
                self._lent.pop(i, None)
                if word not in REASONS and word not in self._classes:
                    self._classes.append(word)
            else:
                self._words.pop(i, None)
                self._given_by.pop(i, None)
                self._lent[i] = browser
        self._last_answer = self._clock()
        self._changed.notify_all()

    def _spare(self, want: int) -> list[int]:
        """Return images that another browser can do without: all of a silent one, or the last ones of one with many."""
        lent: dict[str, list[int]] = {}
        for i in self._cards:
            if i in self._lent:
                lent.setdefault(self._lent[i], []).append(i)
        quiet = {who for who, when in self._seen.items() if when < self._clock() - _QUIET}
        spare = [lent[who][0 if who in quiet else max(_KEPT, len(lent[who]) // 2) :] for who in lent]
        return max(spare, key=len, default=[])[:want]

    def _alive(self, browser: str) -> None:
        self._forget_silent()
        self._seen[browser] = self._clock()

    def _forget_silent(self) -> None:
        silent = {who for who, when in self._seen.items() if when < self._clock() - self._patience}
        if silent:
            self._seen = {who: when for who, when in self._seen.items() if who not in silent}
            self._lent = {i: who for i, who in self._lent.items() if who not in silent}
