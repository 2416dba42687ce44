"""A folder of features that is added: its labels, its images, and the network that it must share."""

import json
from dataclasses import asdict

import numpy as np
import pytest

from msal_lightning.data.features.added_rows import read_added
from msal_lightning.data.images.preprocessing import Preprocessing
from msal_lightning.errors import DataError

MANIFEST = {
    "format": 1, "finished": True, "shards": {"features-000.npy": 4}, "source": {"root": "../photos"},
    "model": {"class_path": "Net", "init_args": {"weights": "a.pt"}, "digest": "1f", "dimension": 3},
    "preprocessing": {**asdict(Preprocessing(32)), "value_range": {}}, "dtype": "float32",
}  # fmt: skip


def write(folder, labels="path,label\na.png,cat\nb.png,\nc.png,skip\nd.png,dog\n", **changes):
    folder.mkdir(parents=True)
    np.save(folder / "features-000.npy", np.ones((4, 3), dtype=np.float32))
    (folder / "labels.csv").write_text(labels)
    (folder / "manifest.json").write_text(json.dumps(MANIFEST | changes))
    return folder


@pytest.fixture
def root(tmp_path):
    return write(tmp_path / "features")


def test_rows_labels_and_images(root):
    moved = {"model": MANIFEST["model"] | {"init_args": {"weights": "elsewhere/a.pt"}}}
    new = write(root / "new", source={"root": "../../new photos"}, **moved)
    added = read_added(new, root, np.ones((1, 3), "f4"), ["dog", "cat"], root.parent / "photos", None)
    assert (added.rows.tolist(), added.label.tolist(), added.size) == ([0, 1, 3], [1, -1, 0], 4)
    assert added.source / added.images[2] == root.parent / "new photos/d.png"
    assert added.names[2] == "../new photos/d.png"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": MANIFEST["model"] | {"digest": "2e"}}, "the model of"),
        ({"preprocessing": {"size": 64, "value_range": {}}}, "the preprocessing of"),
        ({"labels": "path,label,split\n" + "a.png,cat,test\n" * 4}, "some in the split test"),
        ({"labels": "path,label\n" + "a.png,cow\n" * 4}, "'cow'"),
    ],
)
def test_what_does_not_fit_is_refused(root, changes, message):
    folder = write(root / "new", **changes)
    with pytest.raises(DataError, match=message):
        read_added(folder, root, np.ones((1, 3), "f4"), ["dog", "cat"], root, None)
