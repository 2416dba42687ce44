"""Buying labels from an oracle that takes its time."""

from collections.abc import Callable
from dataclasses import replace

import torch

from msal_lightning.data.base import ActiveDataModule
from msal_lightning.errors import UserError
from msal_lightning.oracles.asked import Asked, Exchange
from msal_lightning.oracles.base import REASONS, Item, NotYet, Oracle, Question
from msal_lightning.oracles.suggest import make_items
from msal_lightning.predictor import Predictor
from msal_lightning.ranks import Ranks
from msal_lightning.runs import Purchase, RunDirectory, Skipped
from msal_lightning.selection import Selection

Choose = Callable[[int], tuple[Selection, Predictor | None]]


class Conversation:
    """Asks, takes answers over, asks for replacements of skipped images; each step is on disk before the next one.

    All processes of a run take part; the first one asks. A later process with the same seed that is given what is on
    disk ends in the same state.

    Args:
        oracle: who is asked.
        data: owns the pool.
        run: keeps what was asked and answered.
        ranks: the processes of the run.
    """

    def __init__(self, oracle: Oracle, data: ActiveDataModule, run: RunDirectory, ranks: Ranks) -> None:
        self._oracle = oracle
        self._data = data
        self._run = run
        self._ranks = ranks

    def buy(self, asked: Asked, n: int, trained_from: int, choose: Choose) -> tuple[Purchase, Skipped]:
        """Move n images out of the pool with a person's labels, or as many as the pool has.

        Args:
            asked: what was asked before.
            n: how many labels.
            trained_from: the round from which they are trained on.
            choose: the best of the pool, given how many, and the model that chose them; first for the question, then
                for replacements. Called by all processes.

        Returns:
            The labels, in the order in which they were asked for, and what was skipped.

        Raises:
            NotYet: on every process, labels are missing.
            UserError: an answer is wrong.
        """
        data = self._data
        names = [*data.class_names]  # the model that is asked again for replacements does not know new ones
        items, labels, skipped = list[Item](), list[int](), Skipped()
        self._ranks.on_zero(lambda: self._check_images(asked))
        done = 0
        while True:
            for exchange in asked.exchanges[done:]:
                if exchange.answers is None:
                    asked = self._answered(asked, names)
                    exchange = asked.exchanges[-1]
                self._take(exchange, trained_from, names, items, labels, skipped)
            done = len(asked.exchanges)
            missing = min(n - len(items), len(data.pool))
            if missing <= 0:
                break
            selection, predictor = choose(missing)
            asked = self._ranks.on_zero(lambda: self._put(asked, selection, predictor, names))  # noqa: B023
        data.add_classes(names[data.num_classes :])
        scores = [item.score for item in items if item.score is not None]
        index = [item.index for item in items]
        paths = data.paths(torch.tensor(index, dtype=torch.int64))
        return Purchase(index, labels, scores if items and len(scores) == len(items) else None, paths), skipped

    def _put(self, asked: Asked, selection: Selection, predictor: Predictor | None, names: list[str]) -> Asked:
        """Keep a new question; it is asked next."""
        items = make_items(self._data, selection, predictor)
        number = len(asked.exchanges) + 1
        name = asked.name if number == 1 else f"{asked.name}-{number}"
        asked = replace(asked, num_images=len(self._data.labeled_at))
        asked = asked.ask(Question(name, items, tuple(names), self._run.path / "queries"))
        self._run.write_asked(asked)
        return asked

    def _answered(self, asked: Asked, names: list[str]) -> Asked:
        """Ask the last question.

        Raises:
            NotYet: on every process.
        """

        def ask() -> Asked | tuple[int, str, str]:
            question = asked.exchanges[-1].question
            files = self._data.locations(torch.tensor([item.index for item in question.items], dtype=torch.int64)) or []
            items = tuple(replace(item, file=file) for item, file in zip(question.items, files, strict=True))
            try:
                answered = asked.answer(self._oracle.ask(replace(question, items=items)))
            except NotYet as waiting:
                return waiting.count, waiting.where, waiting.how
            self._check_classes(question, answered, names)
            self._run.write_asked(answered)
            return answered

        outcome = self._ranks.on_zero(ask)
        if isinstance(outcome, tuple):
            raise NotYet(*outcome)
        return outcome

    def _check_images(self, asked: Asked) -> None:
        """Whether the images are those that were asked about: labels go by index."""
        index = torch.tensor([item.index for exchange in asked.exchanges for item in exchange.question.items])
        paths = [item.path for exchange in asked.exchanges for item in exchange.question.items]
        now = len(self._data.labeled_at)
        try:
            if asked.num_images not in (None, now):
                raise ValueError(f"{asked.num_images} images then, {now} now")
            self._data.check_paths(index.long(), paths)
        except ValueError as error:
            raise UserError(
                f"the images are not those of which the labels of {asked.name} were asked for ({error}): bring the "
                "former ones back, or start anew with --overwrite"
            ) from None

    def _check_classes(self, question: Question, answered: Asked, names: list[str]) -> None:
        """Before answers are taken over, since they stay what they were: a model needs two classes."""
        answers = answered.exchanges[-1].answers or ()
        known = {*names} | {answer.label for answer in answers if answer.label is not None}
        if len(known) < 2 and all(answer.label is not None for answer in answers):  # else more is asked
            raise UserError(
                f"expected at least two classes in the labels of {question.name}, got '{known.pop()}' alone: correct "
                "them, or start anew with --overwrite, these labels as data.csv and a larger loop.initial_size"
            )

    def _take(
        self,
        exchange: Exchange,
        trained_from: int,
        names: list[str],
        items: list[Item],
        labels: list[int],
        skipped: Skipped,
    ) -> None:
        """Move the images of an answered question; new classes get numbers in the order in which they appear."""
        labeled, numbers = list[Item](), list[int]()
        for item, answer in zip(exchange.question.items, exchange.answers or (), strict=True):
            if answer.label is None:
                skipped.index.append(item.index)
                skipped.reason.append(answer.reason if answer.reason in REASONS else REASONS[0])
                skipped.path.append(item.path)
                self._data.skip(torch.tensor([item.index]))
                continue
            if answer.label not in names:
                if not self._oracle.allow_new_classes:
                    raise UserError(
                        f"expected classes of the data from {type(self._oracle).__name__}, got '{answer.label}': "
                        "correct the answer, or set oracle.allow_new_classes to true"
                    )
                names.append(answer.label)
            labeled.append(item)
            numbers.append(names.index(answer.label))
        self._data.restore(
            torch.tensor([item.index for item in labeled], dtype=torch.int64),
            torch.tensor(numbers, dtype=torch.int64),
            trained_from,
        )
        items += labeled
        labels += numbers
