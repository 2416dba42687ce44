"""Wrong label files: `data.csv` with mistakes, given to the command."""

import numpy as np
import pytest
from PIL import Image

TINY = [
    "fit", "--config", "digits", "--data", "ImageFolder", "--data.root", "photos", "--data.csv", "labels.csv",
    "--data.size", "8", "--trainer.max_epochs", "1", "--trainer.accelerator", "cpu", "--model.backbone.width", "4",
    "--loop.initial_size", "4", "--loop.query_budget", "0", "--data.batch_size", "4", "--run_dir", "run",
]  # fmt: skip
GOOD = "".join(f"{i}.png,{'ab'[i % 2]}\n" for i in range(12))

# content of labels.csv: words that the sentence has
LABELS = {
    "": "columns path and label .*got none",
    "0.png,a\n1.png,b\n": "columns path and label .*got 0.png, a",
    "path;label\n0.png;a\n": "columns path and label",
    "path,label\n": "labels.csv",
    f"path,label\n{GOOD}nowhere.png,a\n": "line 14: there is no file 'photos/nowhere.png'",
    f"path,label\n{GOOD}0.png,b\n": "line 14",
    f"path,label\n{GOOD}./0.png,a\n": "line 14",
    f"path,label\n{GOOD},a\n": "line 14: path or label is blank",
    f"path,label\n{GOOD}12.png,\n": "line 14: path or label is blank",
    f"path,label\n{GOOD}12.png,a,b\n": "line 14: it has more fields",
    f"path,label\n{GOOD}../other.png,a\n": "line 14: '../other.png' leads out of data.root",
    f"path,label\n{GOOD}/etc/passwd,a\n": "line 14: '/etc/passwd' leads out of data.root",
    f"path,label\n{GOOD}photos,a\n": "line 14: there is no file",
    f"path,label\n{GOOD}{'x' * 5000},a\n": "line 14: there is no file",
    f'path,label\n{GOOD}"12.png,a\n': "labels.csv",
    f"path,label\n{GOOD}12.png,a\0\n": "NUL",
    f"path,label,split\n{GOOD.replace('a', 'a,train').replace('b', 'b,val')}": "'val' is neither train nor test",
    f"path,label\n{GOOD.replace(',b', ',a')}": "labels.csv",
}
BYTES = {
    b"\x89PNG\r\n\x1a\n": "labels.csv",
    f"path,label\n{GOOD}12.png,\xe9\n".encode("latin-1"): "labels.csv",
    f"path,label\n{GOOD}".encode("utf-16"): "labels.csv",
}
QUICK = [*LABELS][::6]


@pytest.fixture
def photos(tmp_path):
    (tmp_path / "photos").mkdir()
    for i in range(13):
        pixels = np.full((8, 8, 3), 20 * i, dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{i}.png")
    Image.fromarray(pixels).save(tmp_path / "other.png")


def _case(content):
    marks = () if content in QUICK else pytest.mark.faults
    return pytest.param(content, id=repr(content)[-40:], marks=marks)


@pytest.mark.parametrize("content", [_case(content) for content in (*LABELS, *BYTES)])
def test_wrong_labels_are_one_sentence(content, photos, tmp_path, refused):
    is_text = isinstance(content, str)
    (tmp_path / "labels.csv").write_bytes(content.encode() if is_text else content)
    refused(TINY, LABELS[content] if is_text else BYTES[content])


@pytest.mark.parametrize("kind", ["folder", "device", "nothing"])
def test_a_label_file_that_is_none(kind, photos, tmp_path, refused):
    if kind == "folder":
        (tmp_path / "labels.csv").mkdir()
    elif kind == "device":
        (tmp_path / "labels.csv").symlink_to("/dev/zero")
    refused(TINY, "cannot read data.csv 'labels.csv'")
