"""Images with labels, as a run has them."""

import pytest
from PIL import Image

from msal_lightning.data.label_files.label_set import LabelRow, LabelSet

NAMES = ("cat", 'dog, "big"', "日本 owl")
PATHS = ("a/1.png", "a/2 é.jpg", "b.c/3.png", "=4.png", "b.c/5.tif")


@pytest.fixture
def label_set(tmp_path):
    """Five images of three sizes in odd folders; one is held out, and a sixth one was skipped."""
    root = tmp_path / "photos"
    for k, path in enumerate(PATHS):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (10 + k, 7)).save(root / path)
    rows = [
        LabelRow(10, PATHS[0], NAMES[1], "test", 0, 0),
        LabelRow(3, PATHS[1], NAMES[0], "train", 0, 0, "anna"),
        LabelRow(4, PATHS[2], NAMES[2], "train", 2, 0, "", 0.25),
        LabelRow(1, PATHS[3], NAMES[0], "train", 2, 1, "ben", 0.125),
        LabelRow(2, PATHS[4], NAMES[1], "train", 2, 2, "ben", 0.0),
        LabelRow(7, "a/6.png", "unsure"),
    ]
    return LabelSet(NAMES, tuple(rows), root)


@pytest.fixture
def known(label_set):
    """``known(lines, root)``: path, label and split of each entry; the same of the label set's images with a class."""

    def of(lines):
        plain = [(line.fields["path"], line.fields["label"], line.fields.get("split") or "train") for line in lines]
        root = f"{label_set.root}/"
        return sorted((path.removeprefix(root).removeprefix("./"), *rest) for path, *rest in plain)

    return of


@pytest.fixture
def truth(label_set):
    """Path, label and split of each image with a class."""
    return sorted((row.path, row.label, row.split) for row in label_set.rows[:5])
