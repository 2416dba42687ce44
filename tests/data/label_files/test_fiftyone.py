"""FiftyOne's format, read by its own importer, which needs no database."""

import json
import os
from pathlib import Path

import pytest

from msal_lightning.data.label_files import fiftyone
from msal_lightning.data.label_files.reading import read_label_file
from msal_lightning.errors import DataError


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_its_importer_reads_it(label_set, tmp_path):
    importers = pytest.importorskip("fiftyone.utils.data.importers")
    fiftyone.write(label_set, tmp_path / "labels.json")
    importer = importers.FiftyOneImageClassificationDatasetImporter(
        labels_path=str(tmp_path / "labels.json"), data_path=str(label_set.root)
    )
    importer.setup()
    found = {os.path.relpath(path, label_set.root): label for path, _, label in importer}
    assert {path: (label.label, label["round"], label["split"]) for path, label in found.items()} == {
        row.path: (row.label, row.round, row.split) for row in label_set.rows[:5]
    }
    assert found["=4.png"]["annotator"] == "ben"
    assert tuple(importer.get_dataset_info()["classes"]) == label_set.class_names


def test_it_has_the_documented_form(label_set, tmp_path):
    fiftyone.write(label_set, tmp_path / "labels.json")
    content = json.loads((tmp_path / "labels.json").read_text())
    assert content["classes"] == [*label_set.class_names]
    file = str(label_set.root / "=4.png")
    assert Path(file).is_absolute()
    assert content["labels"][file] == {
        "label": "cat",
        "attributes": {"split": "train", "round": 2, "rank": 1, "score": 0.125, "annotator": "ben"},
    }


def test_it_comes_back(label_set, tmp_path, known, truth):
    fiftyone.write(label_set, tmp_path / "labels.json")
    assert known(read_label_file(tmp_path / "labels.json", "it", label_set.root)) == truth


def test_names_without_extensions_are_found(label_set):
    targets = {"a/1": 1, "a/2 é": "cat", "b.c/3": {"label": 0}, "gone": 1, "b.c/5": None}
    lines = fiftyone.read({"classes": ["ant", "owl"], "labels": targets}, label_set.root)
    assert [(line.fields["path"], line.fields["label"]) for line in lines] == [
        ("a/1.png", "owl"), ("a/2 é.jpg", "cat"), ("b.c/3.png", "ant"), ("gone", "owl"), ("b.c/5.tif", ""),
    ]  # fmt: skip
    (label_set.root / "a/1.jpg").touch()  # now the name is ambiguous
    assert fiftyone.read({"labels": {"a/1": "ant"}}, label_set.root)[0].fields["path"] == "a/1"
    with pytest.raises(DataError, match="expected one label for the image 'a', got 2"):
        fiftyone.read({"labels": {"a": ["x", "y"]}}, label_set.root)
