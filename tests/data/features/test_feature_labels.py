"""Labels of features from a file of labels."""

import json

import numpy as np
import pytest

from msal_lightning.data.features.feature_labels import FeatureLabels, read_labels, with_label_file
from msal_lightning.errors import DataError

PATHS = ["a/0.png", "./a/1.png", "2.png", "3.png"]


def known(*named, names=("cat", "dog"), **more):
    return FeatureLabels(np.array([names.index(n) if n else -1 for n in named]), names, **more)


@pytest.fixture
def add(tmp_path):
    """``add(known, text)``: the labels with those of a CSV file; ``classes`` as in the configuration."""

    def of(labels, text, classes=None):
        (tmp_path / "more.csv").write_text(text)
        found = with_label_file(labels, tmp_path / "more.csv", tmp_path / "images", classes)
        return [found.names[c] if c >= 0 else None for c in found.label.tolist()], found

    return of


def test_blank_labels_are_filled_by_path(add):
    before = known("dog", None, None, "cat", paths=PATHS)
    named, found = add(before, "path,label\na/1.png,ant\n2.png,skip\n3.png,cat\n")
    assert named == ["dog", "ant", None, "cat"]
    assert found.names == ("ant", "cat", "dog")
    assert found.unknown.tolist() == [False] * 4
    assert found.rows().tolist() == [0, 1, 3]
    assert before.label.tolist() == [1, -1, -1, 0]


def test_absolute_paths_and_other_formats(tmp_path):
    content = {"labels": {str(tmp_path / "images/a/1.png"): "dog", "3": "cat"}}
    (tmp_path / "images").mkdir()
    (tmp_path / "images/3.png").touch()
    (tmp_path / "more.json").write_text(json.dumps(content))
    before = known(None, None, None, None, paths=PATHS)
    found = with_label_file(before, tmp_path / "more.json", tmp_path / "images", None)
    assert found.label.tolist() == [-1, 1, -1, 0]


def test_rows_without_paths_are_named_by_the_index_of_a_ledger(add):
    is_test = np.array([True, False, False, False])
    named, found = add(known("dog", None, None, None, is_test=is_test), "index,label\n0,cat\n2,dog\n")
    assert named == ["dog", "cat", None, "dog"]
    assert found.left_out is None


@pytest.mark.parametrize(
    ("text", "classes", "said"),
    [
        ("path,label\n2.png,1\n", None, "expected names of classes in data.labels '.*', such as 'cat', got .* '1'"),
        ("path,label\n2.png,owl\n", ["cat", "dog"], "to be among data.classes, got 'owl'"),
        ("path,label\na/0.png,cat\n", None, "line 2: 'cat' is 'dog' beside the features"),
        ("path,label\n2.png,dog\n./2.png,cat\n", None, "line 3: 'cat' is 'dog' beside"),
        ("path,label\n9.png,dog\n", None, "line 2: the features have no row of '9.png'"),
        ("index,label\n4,dog\n", None, "line 2: the features have no row of '4'"),
        ("path,label\n2.png,dog,x\n", None, "line 2: it has more fields"),
    ],
)
def test_wrong_files_are_refused(add, text, classes, said):
    with pytest.raises(DataError, match=said):
        add(known("dog", None, None, None, paths=PATHS), text, classes)


def test_numbers_beside_features_are_refused_too(tmp_path):
    (tmp_path / "labels.csv").write_text("label\n1\n0\n")
    with pytest.raises(DataError, match=r"expected names of classes in '.*labels.csv', such as 'cat', got the number"):
        read_labels(tmp_path, 2, ["cat", "dog"])
    assert read_labels(tmp_path, 2, ["0", "1"]).label.tolist() == [1, 0]
