"""A real loop behind the desk, without a server."""

import _thread
import os
import signal
import threading
import time

import pytest

from msal_lightning.cli.fit import open_loop
from msal_lightning.errors import AnnotationError
from msal_lightning.oracles.told import Told
from msal_lightning.serve.desk import Desk
from msal_lightning.serve.embedding_map import EmbeddingMap
from msal_lightning.serve.pictures import Pictures
from msal_lightning.serve.work import work
from msal_lightning.training.signals import Stopped


def until(condition):
    end = time.monotonic() + 60
    while not (found := condition()):
        assert time.monotonic() < end
        time.sleep(0.01)
    return found


class Person(threading.Thread):
    """Labels what the desk has, as ``script`` says: a generator of steps."""

    def __init__(self, script):
        super().__init__(daemon=True)
        self.script, self.error = script, None

    def run(self):
        try:
            self.script()
        except BaseException as error:
            self.error = error
            _thread.interrupt_main()  # which waits for answers


@pytest.fixture
def label(tmp_path):
    """``label(argv, script, allow_new)``: runs a loop to its end while a person follows ``script(desk)``; its facts."""

    def run(argv, script=lambda desk: None, allow_new=False, learn=lambda loop, rounds: None):
        words = [*argv, "--run_dir", str(tmp_path / "run")]
        with open_loop(words, replace_oracle=lambda _: Told(allow_new)) as (loop, _):
            desk = Desk(loop.tell, allow_new)
            person = Person(lambda: script(desk))
            person.start()
            try:
                work(loop, desk, lambda rounds: learn(loop, rounds))
                person.join(60)
            except KeyboardInterrupt:
                assert person.error
            if person.error:
                raise person.error
            return desk.state()

    return run


@pytest.mark.slow
def test_labels_of_one_class_are_refused_until_one_changes(label, digit_features):
    """The classes are unknown at first; the page says what is wrong, and the run goes on when it is corrected."""
    root, truth = digit_features

    def script(desk):
        cards = until(lambda: desk.take("a", 60))
        desk.answer("a", {card.task.index: "digit" for card in cards})
        trouble = until(lambda: desk.state()["trouble"])
        assert "expected at least two classes in the labels of initial, got only 'digit'" in trouble
        first = cards[0].task.index
        assert desk.answer("a", {first: ""}) == {}
        assert desk.answer("a", {first: "other"}) == {}
        until(lambda: not desk.state()["trouble"])
        for card in until(lambda: desk.take("a", 60)):
            assert card.task.suggested in ("digit", "other")
            assert card.known == 12
            word = f"a {truth[f'images/{card.task.path}']}"  # new classes
            assert desk.answer("a", {card.task.index: word}) == {}
            assert word in desk.state()["classes"]

    data = {"root": root / "images", "unlabeled": "true", "size": 8, "channels": 1, "batch_size": 16}
    sizes = {"initial_size": 12, "held_out": 4, "query_size": 4, "query_budget": 4}
    argv = ["--config", "digits", "--data", "ImageFolder", "--trainer.max_epochs", "1", "--trainer.accelerator", "cpu"]
    argv += ["--query", "Margin"]
    argv += [word for key, value in data.items() for word in (f"--data.{key}", str(value))]
    argv += [word for key, value in sizes.items() for word in (f"--loop.{key}", str(value))]
    seen = []

    def look(loop, rounds):
        plane = EmbeddingMap(loop.data, loop.run_directory.path)
        seen.append(until(lambda: plane.look({}).get("why")))
        assert Pictures(loop.data).get(0, "small").kind == "image/png"

    state = label(argv, script, allow_new=True, learn=look)
    assert (state["phase"], state["labels"], state["accuracy"]["tested"]) == ("done", 16, 4)
    assert all("--loop.keep_embeddings" in why for why in seen)
    assert label(argv, allow_new=True)["labels"] == 16  # a run that had finished before


@pytest.mark.slow
def test_the_map_has_what_is_labeled_and_open(label, digit_features, options_of_run):
    _, truth = digit_features
    maps = []

    def script(desk):
        while desk.state()["phase"] != "done":
            desk.answer("a", {card.task.index: truth[card.task.path] for card in desk.take("a", 5)})
            time.sleep(0.01)

    def learn(loop, rounds):
        plane = planes.setdefault(loop.run_directory.path, EmbeddingMap(loop.data, loop.run_directory.path))
        plane.learn(rounds)
        open_images = {item.index: "" for batch in loop.run_directory.open_batches() for item in batch.items}
        maps.append((open_images, until(lambda: plane.look(open_images).get("points"))))
        labels = loop.data.labels
        for index, word in zip(maps[-1][1]["index"], maps[-1][1]["word"], strict=True):
            assert word == ("" if labels[index] < 0 else str(int(labels[index])))

    planes = {}
    label(options_of_run(20, 5, 5), script, learn=learn)
    for open_images, points in maps:
        assert {*open_images} <= {*points["index"]}
        assert len(points["x"]) == len(points["y"]) == len({*points["index"]}) == 500
        assert 0 <= min(points["x"] + points["y"]) <= max(points["x"] + points["y"]) <= 1
    assert [sum(map(bool, points["word"])) for _, points in maps][:2] == [0, 20]


def test_a_run_that_people_do_not_label_here_is_not_served():
    from msal_lightning.cli.serve import told_instead
    from msal_lightning.oracles import Files, Simulated

    assert told_instead(Files(allow_new_classes=True)).allow_new_classes
    with pytest.raises(AnnotationError, match="got Simulated: add --oracle Files"):
        told_instead(Simulated())
    with pytest.raises(AnnotationError, match="got anna, ben: leave them out"):
        told_instead(Files(annotators=["anna", "ben"]))


def test_a_signal_after_the_last_batch_of_a_query_ends_the_loop(options_of_run, tmp_path, monkeypatch):
    """It used to be forgotten, and `serve` waited for answers."""
    argv = [*options_of_run(20, 5, 5), "--run_dir", str(tmp_path / "run")]
    with open_loop(argv, replace_oracle=lambda _: Told()) as (loop, _):
        advance = loop._advance

        def late():
            advance()
            os.kill(os.getpid(), signal.SIGTERM)

        monkeypatch.setattr(loop, "_advance", late)
        with pytest.raises(Stopped):
            loop.ask()
        monkeypatch.undo()
        assert [batch.name for batch in loop.ask()] == ["initial"]
        loop.close()
