"""The desk between people and the loop: nobody gets another's image, and no image is forgotten."""

import threading
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from msal_lightning.errors import AnnotationError, RunError
from msal_lightning.oracles.base import LabelingBatch, LabelingTask
from msal_lightning.serve.desk import PATIENCE, Desk

NAMES = ("cat", "dog")
SIZE = 3
PEOPLE = st.sampled_from("ab")


def batch_of(number, size=SIZE):
    first = number * size
    files = {i: Path(f"{i}.png") for i in range(first, first + size)}
    tasks = [LabelingTask(i, file.name, file, "cat", None, 0.9, i - first) for i, file in files.items()]
    return LabelingBatch(f"round-{number:03d}", tuple(tasks), NAMES, Path("queries"))


class TwoPeople(RuleBasedStateMachine):
    """Two browsers at one desk, beside a plain account of who has what; the loop takes batch after batch."""

    def __init__(self):
        super().__init__()
        self.now, self.disk, self.ledger, self.number = 1000.0, {}, {}, 0
        self.screen, self.given = {"a": [], "b": []}, {"a": [], "b": []}
        self.desk = Desk(self.tell, clock=lambda: self.now)
        self.show()

    def tell(self, words, annotator):
        for path, word in words.items():
            assert path in {item.path for batch in self.open for item in batch.items}
            assert (path in self.disk) == (not word)  # never over another answer
            if word not in (*NAMES, "skip", "unsure", ""):
                raise AnnotationError(f"unknown class {word}")
        self.disk |= words
        self.disk = {path: word for path, word in self.disk.items() if word}

    def show(self):
        self.open = [batch_of(self.number), batch_of(self.number + 1)]  # with lag 1
        self.desk.show(self.open, self.disk, {}, {"labels": len(self.ledger)})

    @rule(person=PEOPLE, want=st.integers(1, 8))
    def take(self, person, want):  # also what a reload does
        images = [card.task.index for card in self.desk.take(person, want)]
        assert not {f"{i}.png" for i in images} & {*self.disk, *self.ledger}
        self.screen[person] = images

    @rule(person=PEOPLE, word=st.sampled_from([*NAMES, "skip", "mouse"]), places=st.sets(st.integers(0, 7), min_size=1))
    def answer(self, person, word, places):  # on a screen that may be old
        words = {self.screen[person][k]: word for k in places if k < len(self.screen[person])}
        before = dict(self.disk)
        refused = self.desk.answer(person, words)
        for i in words:
            if i in refused:
                assert self.disk.get(f"{i}.png") == before.get(f"{i}.png")
            else:
                assert self.disk[f"{i}.png"] == word  # it is on disk when the page says so
                self.given[person] = [*dict.fromkeys([*self.given[person], i])]

    @rule(person=PEOPLE)
    def undo(self, person):
        if not self.given[person]:
            return
        i = self.given[person].pop()
        if not self.desk.answer(person, {i: ""}):
            assert f"{i}.png" not in self.disk
            assert i in [card.task.index for card in self.desk.take(person, 0)]

    @rule(person=PEOPLE)
    def leave(self, person):
        self.desk.leave(person)

    @rule(seconds=st.sampled_from([1.0, 30.0, PATIENCE + 1]))
    def pass_time(self, seconds):
        self.now += seconds

    @rule()
    def accept(self):
        due = self.open[0]
        if all(item.path in self.disk for item in due.items):
            self.desk.wait(due, grace=0)
            self.ledger |= {item.path: self.disk.pop(item.path) for item in due.items}
            self.number += 1
            self.show()

    @invariant()
    def nobody_shares(self):
        mine, theirs = ({card.task.index for card in self.desk.take(person, 0)} for person in "ab")
        assert not mine & theirs

    def teardown(self):
        """Whatever happened, a third person finds every image that is left, and each has one answer in the end."""
        self.now += PATIENCE + 1
        for _ in range(2):
            for card in self.desk.take("c", 60):
                assert not self.desk.answer("c", {card.task.index: "dog"})
            self.accept()
        assert len(self.ledger) == self.number * SIZE
        assert {*self.ledger} == {f"{i}.png" for i in range(self.number * SIZE)}


TestTwoPeople = TwoPeople.TestCase
TestTwoPeople.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_the_last_answer_can_be_taken_back_for_a_moment():
    disk, now = {}, [100.0]
    desk = Desk(lambda words, _: disk.update(words), clock=lambda: now[0])
    batch = batch_of(0, size=2)
    desk.show([batch], {}, {}, {})
    desk.answer("a", {0: "cat", 1: "cat"})
    done = threading.Thread(target=desk.wait, args=(batch, 0.2))
    done.start()
    assert not desk.answer("a", {1: ""})
    now[0] = 200.0
    done.join(0.3)
    assert done.is_alive()
    assert not desk.answer("a", {1: "dog"})
    now[0] = 300.0
    done.join()
    assert disk == {"0.png": "cat", "1.png": "dog"}
    assert desk.state()["phase"] == "fit"


def test_an_answer_counts_that_comes_while_the_loop_reads_the_others():
    desk = Desk(lambda words, _: None)
    due, ahead, later = (batch_of(number, size=2) for number in range(3))
    desk.show([due, ahead], {}, {}, {})
    assert desk.answer("a", {0: "cat", 1: "dog"}) == {}
    desk.wait(due, grace=0)
    told = {}  # what the loop has read before the next answer
    assert desk.answer("a", {2: "dog"}) == {}
    desk.show([ahead, later], told, {}, {})
    assert desk.places() == {2: "dog", 3: "", 4: "", 5: ""}
    assert desk.answer("b", {2: "cat"}) == {2: "it has an answer already: dog"}


def test_no_answer_is_refused_before_the_run_is_open():
    """A page that was open while the server started again keeps its answers."""
    desk, disk = Desk(lambda words, _: disk.update(words)), {}
    with pytest.raises(RunError, match="is being opened: send the answers again"):
        desk.answer("a", {0: "cat"})
    desk.show([batch_of(0)], {}, {}, {})
    assert desk.answer("a", {0: "cat"}) == {}
    assert disk == {"0.png": "cat"}
