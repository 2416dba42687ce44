"""A run goes on with the images that it was started with, and with no others."""

import itertools
import json
import os
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from msal_lightning.cli.main import main
from msal_lightning.data.batches.loading import ImageSet
from msal_lightning.data.fingerprint import (
    FILE,
    Print,
    _digest_file,
    digest_of,
    first_change,
    is_same_file,
    read_fingerprint,
    take_fingerprint,
    to_bytes,
)
from msal_lightning.data.labels import HiddenLabels
from msal_lightning.datasets import Digits, ImageFolder

SIZE = 8
OPTIONS = [
    "--config", "image_folder", "--data.size", "8", "--data.batch_size", "4", "--loop.initial_size", "6",
    "--loop.query_size", "3", "--loop.query_budget", "3", "--trainer.max_epochs", "1", "--trainer.accelerator", "cpu",
    "--model.backbone", "SmallCNN", "--model.backbone.width", "2",
]  # fmt: skip


def draw(file, seed, size=SIZE):
    file.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (size, size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file)


def make_folder(folder):
    for (c, name), k in itertools.product(enumerate(("cat", "dog")), range(8)):
        draw(folder / "train" / name / f"{k}.png", 100 * c + k)
        if k < 3:
            draw(folder / "test" / name / f"{k}.png", 1000 + 100 * c + k)
    return folder


def data_of(folder, **more):
    data = ImageFolder(str(folder / "train"), test_root=str(folder / "test"), size=SIZE, in_memory=False, **more)
    data.setup()
    return data


@pytest.fixture(scope="module")
def started(tmp_path_factory):
    """A folder of images, and a run of two rounds whose second is not recorded."""
    folder = tmp_path_factory.mktemp("started")
    make_folder(folder / "images")
    assert main(fit(folder)) == 0
    (folder / "run" / "rounds" / "001.json").unlink()
    return folder


@pytest.fixture
def resumed(started, tmp_path):
    """A copy of it with the times of the files."""
    shutil.copytree(started, tmp_path / "copy")
    return tmp_path / "copy"


def fit(folder, *more):
    images = folder / "images"
    where = ["--data.root", str(images / "train"), "--data.test_root", str(images / "test")]
    return ["fit", *OPTIONS, *where, "--run_dir", str(folder / "run"), *more]


def swap(images):
    (images / "train" / "cat").rename(images / "train" / "old")
    (images / "train" / "dog").rename(images / "train" / "cat")
    (images / "train" / "old").rename(images / "train" / "dog")


def same_size(images):
    """Other pixels in as many bytes, as a file without compression has."""
    file = images / "train" / "cat" / "2.png"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


CHANGES = {
    "other pixels": (lambda images: draw(images / "train" / "cat" / "3.png", 77), "'cat/3.png' has other content"),
    "as many bytes": (same_size, "'cat/2.png' has other content"),
    "swapped folders": (swap, "'cat/0.png' has other content"),
    "one more": (lambda images: draw(images / "train" / "dog" / "1a.png", 5), "'dog/1a.png' is new"),
    "one less": (lambda images: (images / "train" / "dog" / "4.png").unlink(), "'dog/4.png' is gone"),
    "renamed": (
        lambda images: (images / "train" / "dog" / "4.png").rename(images / "train" / "dog" / "4b.png"),
        "'dog/4b.png' is new",
    ),
    "more to test": (
        lambda images: [draw(images / "test" / "cat" / f"x{k}.png", k) for k in range(3)],
        "is new, and 2 more",
    ),
    "less to test": (lambda images: (images / "test" / "cat" / "0.png").unlink(), "'cat/0.png' is gone"),
    "others to test": (lambda images: draw(images / "test" / "dog" / "1.png", 9), "'dog/1.png' has other content"),
    "another class": (
        lambda images: (images / "train" / "dog" / "7.png").rename(images / "train" / "cat" / "7b.png"),
        "'cat/7b.png' is new",
    ),
}


@pytest.mark.parametrize("case", CHANGES)
def test_a_change_is_named_by_its_first_path(started, tmp_path, case):
    change, expected = CHANGES[case]
    shutil.copytree(started / "images", tmp_path / "images")
    before = take_fingerprint(data_of(tmp_path / "images"))
    assert first_change(before, data_of(tmp_path / "images")) is None
    change(tmp_path / "images")
    assert expected in first_change(before, data_of(tmp_path / "images"))


def test_a_run_does_not_go_on_with_other_images(resumed, capsys):
    draw(resumed / "images" / "train" / "cat" / "3.png", 77)
    assert main(fit(resumed)) == 2
    error = capsys.readouterr().err
    assert "'cat/3.png' has other content" in error
    assert error.count("\n") == 1
    assert not (resumed / "run" / "rounds" / "001.json").exists()


def test_a_folder_may_move_and_its_copy_has_other_times(started, resumed, capsys):
    expected = (started / "run" / "ledger.csv").read_bytes()
    for file in (resumed / "images").rglob("*.png"):
        os.utime(file, (1, 1))
    record = json.loads((started / "run" / "rounds" / "000.json").read_text())
    assert record["data"]["train"] == 16
    assert record["data"]["test"] == 6
    data = data_of(resumed / "images")
    assert digest_of(take_fingerprint(data)) == record["data"]["digest"]
    assert first_change(read_fingerprint(started / "run" / FILE), data) is None
    (resumed / "images" / "train").rename(resumed / "images" / "elsewhere")
    root = ["--data.root", str(resumed / "images" / "elsewhere"), "--data.test_root", str(started / "images" / "test")]
    assert main([*fit(resumed), *root]) == 0, capsys.readouterr().err
    assert (resumed / "run" / "ledger.csv").read_bytes() == expected


def test_another_thread_count_is_said(resumed, monkeypatch, capsys):
    import msal_lightning.loop.loop as loop

    environment = loop.environment
    monkeypatch.setattr(loop, "environment", lambda trainer: environment(trainer) | {"threads": "64"})
    options = ["--data.test_root", str(resumed / "images" / "test")]
    assert main(fit(resumed, *options)) == 0
    out = capsys.readouterr().out
    assert f"the last round was trained with threads {torch.get_num_threads()} (now 64): the results may differ" in out


def test_a_replay_of_other_images_is_refused_and_of_other_test_images_is_said(resumed, capsys):
    run, images = resumed / "run", resumed / "images"
    draw(images / "test" / "cat" / "9.png", 1)
    where = ["--data.root", str(images / "train"), "--data.test_root", str(images / "test")]
    words = ["replay", "--run", str(run), *where, "--run_dir"]
    assert main([*words, str(resumed / "again")]) == 0
    assert f"the test images differ from those of '{run}' ('cat/9.png' is new)" in capsys.readouterr().out
    draw(images / "train" / "cat" / "3.png", 77)
    assert main([*words, str(resumed / "third")]) == 2
    assert f"the images of the run '{run}', got others ('cat/3.png' has" in capsys.readouterr().err


def test_a_first_model_is_not_taken_over_from_other_images(started, tmp_path, capsys):
    shutil.copytree(started / "images", tmp_path / "images")
    shared = ["--loop.first_fit", str(tmp_path / "first.pt"), "--loop.query_budget", "0", "--data.test_root"]
    shared.append(str(tmp_path / "images" / "test"))
    assert main([*fit(tmp_path), *shared]) == 0
    note = "belongs to other runs (its data differ)"
    assert note not in capsys.readouterr().out
    assert main([*fit(tmp_path), *shared, "--run_dir", str(tmp_path / "same"), "--query", "Margin"]) == 0
    assert note not in capsys.readouterr().out
    draw(tmp_path / "images" / "train" / "cat" / "3.png", 77)
    assert main([*fit(tmp_path), *shared, "--run_dir", str(tmp_path / "other"), "--query", "Margin"]) == 0
    assert note in capsys.readouterr().out


def test_without_its_list_a_run_still_knows_that_something_changed(resumed, capsys):
    (resumed / "run" / FILE).unlink()
    options = ["--data.test_root", str(resumed / "images" / "test")]
    draw(resumed / "images" / "train" / "cat" / "3.png", 77)
    assert main(fit(resumed, *options)) == 2
    assert "missing or damaged" in capsys.readouterr().err


def test_records_of_before_compare_the_number_of_test_images(resumed, capsys):
    from msal_lightning.runs.changed_images import changed_images
    from msal_lightning.runs.reading import read_run

    first = read_run(resumed / "run").records[0]
    object.__setattr__(first, "data", None)
    assert changed_images(data_of(resumed / "images"), resumed / "run", first) is None
    draw(resumed / "images" / "test" / "cat" / "9.png", 1)
    change = changed_images(data_of(resumed / "images"), resumed / "run", first)
    assert change == "there were 6 test images and are 7 now"


def test_content_is_compared_where_both_sides_have_it(tmp_path):
    """The middle of a large file without compression, changed behind the back of its time."""
    folder = make_folder(tmp_path)
    large = folder / "train" / "cat" / "5.bmp"
    draw(large, 3, size=300)
    quick, whole = take_fingerprint(data_of(folder)), take_fingerprint(data_of(folder, verify="content"))
    assert digest_of(quick) == digest_of(whole)
    times = large.stat().st_atime_ns, large.stat().st_mtime_ns
    content = bytearray(large.read_bytes())
    content[len(content) // 4] ^= 255
    large.write_bytes(content)
    os.utime(large, ns=times)
    assert first_change(whole, data_of(folder)) is None
    assert first_change(quick, data_of(folder, verify="content")) is None  # nobody read it whole before
    assert first_change(whole, data_of(folder, verify="content")) == "'cat/5.bmp' has other content"


# ---------------------------------------------------------------- images in memory


class Arrays(Digits):
    """What the test says."""

    def __init__(self, train, test):
        super().__init__()
        self.parts = train, test

    def load(self):
        return self.parts


def images(n, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 255, (n, 1, 4, 4), dtype=np.uint8)
    return ImageSet(torch.from_numpy(pixels), torch.arange(n) % 10)


def arrays(train, test):
    data = Arrays(train, test)
    data.setup()
    return data


def changed(part, row, pixel=False):
    image, label = part.image.clone(), part.label.clone()
    if pixel:
        image[row, 0, 0, 0] += 1
    else:
        label[row] = (label[row] + 1) % 10
    return ImageSet(image, label)


@pytest.mark.parametrize(
    ("train", "test", "expected"),
    [
        (images(30), images(20, 1), None),
        (changed(images(30), 7, pixel=True), images(20, 1), "train image 7 has other pixels"),
        (images(30), changed(images(20, 1), 11, pixel=True), "test image 11 has other pixels"),
        (changed(images(30), 4), images(20, 1), "the label of train image 4 is another one"),
        (images(30), changed(images(20, 1), 19), "the label of test image 19 is another one"),
        (images(30), images(15, 1), "there were 20 test images and are 15 now"),
        (images(30), images(60, 1), "there were 20 test images and are 60 now"),
        (images(31), images(20, 1), "there were 30 train images and are 31 now"),
    ],
)
def test_images_in_memory_are_named_by_index(train, test, expected):
    before = take_fingerprint(arrays(images(30), images(20, 1)))
    found = first_change(before, arrays(train, test))
    assert found == expected
    if expected and "test image" in expected:
        assert first_change(before, arrays(train, test), ("train",)) is None


def test_labels_that_become_known_are_no_change():
    def known(*labels):
        return HiddenLabels(torch.tensor(labels)).marks()

    assert known(-1, 3) == ["", known(-1, 3)[1]]
    assert known(2, 3)[1] == known(-1, 3)[1]
    assert known(3, 3)[0] != known(3, 3)[1]  # a mark does not tell which labels are the same


def test_the_list_reads_as_it_was_written(tmp_path):
    prints = take_fingerprint(data_of(make_folder(tmp_path / "images")))
    file = tmp_path / FILE
    file.write_bytes(to_bytes(prints))
    assert list(read_fingerprint(file)) == prints
    file.write_bytes(to_bytes(prints)[:-30])
    with pytest.raises(ValueError, match="end-of-stream"):
        list(read_fingerprint(file))


@pytest.mark.parametrize("place", [0, 50_000, 99_999])
def test_start_middle_and_end_of_a_large_file_are_looked_at(tmp_path, place):
    file = tmp_path / "image"
    content = bytearray(100_000)
    file.write_bytes(content)
    known = Print("train", "image", "", size=100_000, sample=_digest_file(str(file), False))
    assert is_same_file(known, str(file))
    content[place] = 1
    file.write_bytes(content)
    assert not is_same_file(known, str(file))
