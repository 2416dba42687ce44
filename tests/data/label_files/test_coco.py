"""COCO's format, read by pycocotools."""

import json

import pytest
from PIL import Image

from msal_lightning.data.label_files import coco
from msal_lightning.data.label_files.reading import read_label_file
from msal_lightning.errors import DataError


def test_pycocotools_reads_it(label_set, tmp_path, capsys):
    library = pytest.importorskip("pycocotools.coco")
    file = tmp_path / "coco.json"
    coco.write(label_set, file)
    found = library.COCO(str(file))
    names = {one["id"]: one["name"] for one in found.loadCats(found.getCatIds())}
    assert tuple(names.values()) == label_set.class_names
    seen = {}
    for image in found.loadImgs(found.getImgIds()):
        (annotation,) = found.loadAnns(found.getAnnIds(imgIds=[image["id"]]))
        seen[image["file_name"]] = (names[annotation["category_id"]], annotation["round"], annotation["score"])
        with Image.open(label_set.root / image["file_name"]) as picture:
            assert picture.size == (image["width"], image["height"])
    assert seen == {row.path: (row.label, row.round, row.score) for row in label_set.rows[:5]}
    cats = found.getImgIds(catIds=found.getCatIds(catNms=["cat"]))
    assert {image["file_name"] for image in found.loadImgs(cats)} == {"a/2 é.jpg", "=4.png"}
    capsys.readouterr()


def test_it_comes_back(label_set, tmp_path, known, truth):
    coco.write(label_set, tmp_path / "coco.json")
    assert known(read_label_file(tmp_path / "coco.json", "it", label_set.root)) == truth


def test_boxes_of_one_category_are_a_label(tmp_path):
    images = [{"id": 5, "file_name": "a.png"}, {"id": 6, "file_name": "b.png"}]
    boxes = [{"id": k, "image_id": 5, "category_id": c, "bbox": [0, 0, 1, 1]} for k, c in enumerate((3, 3))]
    content = {"images": images, "annotations": boxes, "categories": [{"id": 3, "name": "cat"}, {"id": 4, "name": "x"}]}
    assert [line.fields["label"] for line in coco.read(content)] == ["cat", ""]
    boxes[1]["category_id"] = 4
    with pytest.raises(DataError, match=r"one category for the image 'a\.png', got cat, x"):
        coco.read(content)
    boxes[1]["category_id"] = 9
    (tmp_path / "x.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"cannot read it \(no key 9\): set it to a CSV file"):
        read_label_file(tmp_path / "x.json", "it", tmp_path)


def test_images_that_are_gone_are_named(label_set, tmp_path):
    (label_set.root / "=4.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"cannot read the size of the image '.*=4\.png'"):
        coco.write(label_set, tmp_path / "coco.json")
    (label_set.root / "=4.png").unlink()
    with pytest.raises(DataError, match=r"expected the image '.*=4\.png' .* set --data\.root"):
        coco.write(label_set, tmp_path / "coco.json")
    assert not (tmp_path / "coco.json").exists()
