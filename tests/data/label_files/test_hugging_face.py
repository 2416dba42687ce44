"""Hugging Face's format, read by its library."""

import numpy as np
import pytest

from msal_lightning.data.label_files import hugging_face
from msal_lightning.data.label_files.reading import read_label_file
from msal_lightning.errors import ConfigError, DataError

# dill, with which the library hashes its functions, warns about a class of pyarrow
pytestmark = pytest.mark.filterwarnings("ignore:Cannot locate reference", "ignore:Cannot pickle")


@pytest.fixture
def library():
    pytest.importorskip("pyarrow")
    found = pytest.importorskip("datasets")
    if not hasattr(found, "load_from_disk"):
        pytest.skip("no library datasets")
    return found


@pytest.mark.slow
def test_its_library_reads_it(library, label_set, tmp_path, known, truth):
    hugging_face.write(label_set, tmp_path / "out")
    found = library.load_from_disk(str(tmp_path / "out"))
    assert {name: len(part) for name, part in found.items()} == {"train": 4, "test": 1}
    train = found["train"]
    assert tuple(train.features["label"].names) == label_set.class_names
    names = [train.features["label"].int2str(label) for label in train["label"]]
    rows = label_set.rows[1:5]
    assert [*zip(train["path"], names, train["round"], train["score"], strict=True)] == [
        (row.path, row.label, row.round, row.score) for row in rows
    ]
    assert np.asarray(train[1]["image"]).shape == (7, 12, 3)  # the file itself
    assert [*train["annotator"]] == ["anna", "", "ben", "ben"]
    assert known(read_label_file(tmp_path / "out", "it", label_set.root)) == truth
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@pytest.mark.slow
def test_other_saved_datasets(library, tmp_path):
    library.Dataset.from_dict({"path": ["a.png", "b.png"], "label": ["cat", None]}).save_to_disk(tmp_path / "one")
    lines = read_label_file(tmp_path / "one", "it", tmp_path)
    assert [line.fields["label"] for line in lines] == ["cat", ""]
    library.Dataset.from_dict({"label": ["cat"]}).save_to_disk(tmp_path / "two")
    with pytest.raises(DataError, match="expected the columns path and label in it, got label"):
        read_label_file(tmp_path / "two", "it", tmp_path)
    (tmp_path / "two" / "state.json").write_text("{")
    with pytest.raises(DataError, match="cannot read it"):
        read_label_file(tmp_path / "two", "it", tmp_path)


def test_without_the_library_the_remedy_is_named(label_set, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "datasets", None)
    with pytest.raises(ConfigError, match=r"pip install 'msal_lightning\[huggingface\]'"):
        hugging_face.write(label_set, tmp_path / "out")
