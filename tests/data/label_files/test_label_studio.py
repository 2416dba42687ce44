"""Label Studio's format; a real server reads it in ``oracles/label_studio/test_server.py``."""

import json

import pytest

from msal_lightning.data.label_files import label_studio
from msal_lightning.data.label_files.reading import read_label_file
from msal_lightning.errors import DataError


def test_it_comes_back(label_set, tmp_path, known, truth):
    label_studio.write(label_set, tmp_path / "tasks.json")
    assert known(read_label_file(tmp_path / "tasks.json", "it", label_set.root)) == truth
    second = json.loads((tmp_path / "tasks.json").read_text())[1]["data"]
    assert second["image"] == "/data/local-files/?d=a/2%20%C3%A9.jpg"
    assert second["annotator"] == "anna"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_its_converter_reads_it(label_set, tmp_path):
    converter = pytest.importorskip("label_studio_sdk.converter")
    from msal_lightning.oracles.label_studio.labeling_config import labeling_config

    label_studio.write(label_set, tmp_path / "tasks.json")
    tasks = json.loads((tmp_path / "tasks.json").read_text())
    for k, task in enumerate(tasks):  # what a server adds
        task |= {"id": k}
        task["annotations"][0] |= {"id": k, "completed_by": 1}
    (tmp_path / "exported.json").write_text(json.dumps(tasks))
    made = converter.Converter(labeling_config(label_set.class_names), str(tmp_path))
    made.convert_to_csv(str(tmp_path / "exported.json"), str(tmp_path / "out"), is_dir=False, sep=",", header=True)
    import csv

    (file,) = (tmp_path / "out").glob("*.csv")
    with file.open(newline="", encoding="utf-8") as text:
        assert {row["path"]: row["label"] for row in csv.DictReader(text)} == {
            row.path: row.label for row in label_set.rows[:5]
        }


def task(image, *choices, **data):
    return {"data": {"image": image, **data}, "annotations": [{"result": [label_studio.choice(c)]} for c in choices]}


def test_tasks_of_other_projects():
    tasks = [
        task("/data/local-files/?d=a/b%20c.png", "cat"),
        task("/data/upload/12/0a1b2c3d-x%20y.png", "(skip)"),
        task("deep/z.png", "dog", "dog", split="test"),
        task("https://files.example.com/q.png", path="q.png"),
    ]
    tasks[0]["annotations"][0]["result"][0]["from_name"] = "animal"
    assert [tuple(line.fields.values()) for line in label_studio.read(tasks)] == [
        ("a/b c.png", "cat", ""), ("x y.png", "skip", ""), ("deep/z.png", "dog", "test"), ("q.png", "", ""),
    ]  # fmt: skip


def test_what_has_no_single_label_or_path_is_refused():
    with pytest.raises(DataError, match=r"one label for the image 'z\.png', got cat, dog from 3 annotations"):
        label_studio.read([task("z.png", "dog", "cat", "dog")])
    with pytest.raises(DataError, match="expected task 1 to tell which image"):
        label_studio.read([task("https://files.example.com/q.png", "cat")])
