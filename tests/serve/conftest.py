"""Runs on digits as features with pictures, and the commands that serve them."""

import csv
import json
import re
import signal
import time

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

NUM_TEST = 100


@pytest.fixture(scope="session")
def digit_features(tmp_path_factory):
    """A folder of 600 digits as features and PNG files, 500 of them without labels; and the truth by path."""
    root, digits, rows, truth = tmp_path_factory.mktemp("digit_features"), load_digits(), [], {}
    (root / "images").mkdir()
    for i in range(600):
        path, label = f"images/{i:03d}.png", str(digits.target[i])
        Image.fromarray((digits.images[i] * 15).astype(np.uint8)).save(root / path)
        rows.append((path, label if i < NUM_TEST else "", "test" if i < NUM_TEST else "train"))
        truth[path] = label
    with (root / "labels.csv").open("w", newline="") as out:
        csv.writer(out).writerows([("path", "label", "split"), *rows])
    np.save(root / "features.npy", (digits.data[:600] / 16).astype(np.float32))
    return root, truth


@pytest.fixture(scope="session")
def options_of_run(digit_features):
    """``options_of_run(initial, query_size, budget)``: of a run that people label, with lag 1."""

    def options(initial, query_size, budget):
        sizes = {"initial_size": initial, "query_size": query_size, "query_budget": budget, "lag": 1}
        return [
            "--config", "embeddings", "--data.root", str(digit_features[0]),
            "--data.classes", json.dumps([str(c) for c in range(10)]),
            "--trainer.max_steps", "20", "--trainer.accelerator", "cpu", "--query", "Margin",
            *(word for key, value in sizes.items() for word in (f"--loop.{key}", str(value))),
        ]  # fmt: skip

    return options


class Served:
    """A command ``serve`` in a process of its own.

    Args:
        commands: starts it.
        folder: its working directory.
        words: its arguments.
    """

    def __init__(self, commands, folder, *words):
        self.log = folder / "serve.log"
        seen = len(self.read())
        self.process = commands.start("-m", "msal_lightning", "serve", *words, cwd=folder, log=self.log)
        end = time.monotonic() + 120
        while not (found := re.search(r"http://\S+", self.read()[seen:])):
            assert self.process.poll() is None, self.read()
            assert time.monotonic() < end, self.read()
            time.sleep(0.02)
        self.address = found[0]

    def read(self):
        return self.log.read_text() if self.log.exists() else ""

    def stop(self, with_signal=signal.SIGKILL):
        if self.process.poll() is None:
            self.process.send_signal(with_signal)
        end = time.monotonic() + 60
        while self.process.poll() is None:
            assert time.monotonic() < end
            time.sleep(0.02)


@pytest.fixture
def served(commands, tmp_path):
    """``served(*words)``: see :class:`Served`; stopped at the end."""
    all_of_them = []

    def start(*words):
        all_of_them.append(Served(commands, tmp_path, *words))
        return all_of_them[-1]

    yield start
    for one in all_of_them:
        one.stop()
