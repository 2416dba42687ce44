"""Folders of images without labels, and a person who knows them."""

import csv

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from msal_lightning.cli.main import main
from msal_lightning.runs.pending import pending

NUM_TEST = 60


@pytest.fixture(scope="session")
def photos_in():
    """``photos_in(folder)``: digits as PNG files there, see ``photos``."""
    return write_photos


def write_photos(tmp_path):
    digits = load_digits()
    truth = {}
    for i in range(300):
        c = digits.target[i]
        file = tmp_path / (f"test/{c}/{i}.png" if i < NUM_TEST else f"pool/{'ab'[i % 2]}/{i}.png")
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((digits.images[i] * 15).astype(np.uint8)).save(file)
        if i >= NUM_TEST:
            truth[str(file.relative_to(tmp_path / "pool"))] = str(c)
    with (tmp_path / "labels.csv").open("w", newline="") as out:
        csv.writer(out).writerows([("path", "label"), *sorted(truth.items())])
    return tmp_path, truth


@pytest.fixture
def photos(tmp_path):
    """Digits as PNG files: ``pool`` without labels, ``test`` in folders, ``labels.csv`` with what a person knows."""
    return write_photos(tmp_path)


@pytest.fixture
def options(photos, options_in):
    """``options(*more)``: of a run on them, with a person as oracle."""
    return options_in(photos[0])


@pytest.fixture(scope="session")
def options_in():
    """``options_in(folder)``: see ``options``."""
    return options_of


def options_of(folder):
    data = {"root": folder / "pool", "test_root": folder / "test", "size": 8, "channels": 1, "batch_size": 32}
    fixed = ["--config", "digits", "--trainer.max_epochs", "2", "--trainer.accelerator", "cpu", "--data", "ImageFolder"]
    fixed += [word for key, value in data.items() for word in (f"--data.{key}", str(value))]
    fixed += ["--loop.initial_size", "30", "--loop.query_size", "20", "--loop.query_budget", "40", "--query", "Margin"]
    return lambda *more: ["fit", *fixed, *more]


@pytest.fixture
def person(photos, person_of):
    """``person(file)``: fills in the blank labels of a file; ``say`` may answer otherwise, by path."""
    return person_of(photos[1])


@pytest.fixture(scope="session")
def person_of():
    """``person_of(truth)``: who knows the classes of paths."""

    def know(truth):
        def fill(file, say=None, most=None):
            with file.open(newline="") as text:
                header, *lines = csv.reader(text)
            path, label = header.index("path"), header.index("label")
            filled = 0
            for line in lines:
                if not line[label] and (most is None or filled < most):
                    line[label] = (say or {}).get(line[path]) or truth[line[path]]
                    filled += 1
            with file.open("w", newline="") as out:
                csv.writer(out).writerows([header, *lines])

        return fill

    return know


@pytest.fixture(scope="session")
def waiting_for():
    """``waiting_for(run)``: the CSV file that a run waits for, or None."""

    def find(run):
        batch = pending(run)
        return batch and batch.folder / f"{batch.name}.csv"

    return find


@pytest.fixture(scope="session")
def until_done(waiting_for):
    """``until_done(argv, run, fill)``: repeat a command, and ``fill`` each file; gives the names of the questions."""

    def go_on(argv, run, fill, most=20):
        names = []
        for _ in range(most):
            assert main([*argv, "--run_dir", str(run)]) == 0
            file = waiting_for(run)
            if file is None:
                return names
            names.append(file.stem)
            fill(file)
        raise AssertionError("the person is asked forever")

    return go_on
