"""Datasets that Hugging Face's library wrote, against the images that went in."""

import csv
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from msal_lightning.cli.main import main
from msal_lightning.embed.saved_dataset import SavedDataset
from msal_lightning.errors import UserError
from msal_lightning.models.backbones import SmallCNN

# dill, with which the library hashes its functions, warns about a class of pyarrow
pytestmark = pytest.mark.filterwarnings("ignore:Cannot locate reference", "ignore:Cannot pickle")
OPTIONS = ["--model", "SmallCNN", "--model.width", "4", "--size", "12", "--resize", "12", "--precision", "32-true"]


@pytest.fixture
def library():
    pytest.importorskip("pyarrow")
    found = pytest.importorskip("datasets")
    if not hasattr(found, "load_from_disk"):
        pytest.skip("no library datasets")
    return found


@pytest.fixture
def pictures():
    draws = np.random.default_rng(0)
    return [Image.fromarray(draws.integers(0, 256, (12, 12, 3), dtype=np.uint8)) for _ in range(9)]


def expected(pictures):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = SmallCNN(3, width=4).eval()
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    images = torch.from_numpy(np.stack([np.asarray(one).transpose(2, 0, 1) for one in pictures]))
    with torch.inference_mode():
        return model((images.float() / 255 - mean) / std).half().numpy()


def rows(out):
    with (out / "labels.csv").open(newline="") as file:
        return [tuple(row.values()) for row in csv.DictReader(file)]


def test_train_and_test_with_class_labels(library, pictures, tmp_path, capsys):
    features = library.Features({"image": library.Image(), "kind": library.ClassLabel(names=["owl", "ant"])})

    def part(images, labels):
        return library.Dataset.from_dict({"image": images, "kind": labels}, features=features)

    parts = {"train": part(pictures[:5], [0, 1, 0, 1, 1]), "test": part(pictures[5:7], [1, 0])}
    parts["validation"] = part(pictures[7:], [0, 0])
    library.DatasetDict(parts).save_to_disk(tmp_path / "saved")
    assert main(["embed", str(tmp_path / "saved"), "--out", str(tmp_path / "out"), *OPTIONS]) == 0
    assert "left out: the splits validation of 2 rows" in capsys.readouterr().out
    assert np.load(tmp_path / "out" / "features-000.npy").tobytes() == expected(pictures[:7]).tobytes()
    names = ["owl", "ant", "owl", "ant", "ant", "ant", "owl"]
    assert rows(tmp_path / "out") == [*zip("0123456", names, ["train"] * 5 + ["test"] * 2, strict=True)]
    parts["train"] = part(pictures[:4] + pictures[8:], [0, 1, 0, 1, 1])
    library.DatasetDict(parts).save_to_disk(tmp_path / "other")
    assert main(["embed", str(tmp_path / "other"), "--out", str(tmp_path / "out"), *OPTIONS]) == 2
    assert "the images have changed" in capsys.readouterr().err


def test_labels_as_text_and_paths_of_files(library, pictures, tmp_path):
    for k, picture in enumerate(pictures):
        picture.save(tmp_path / f"{k}.png")
    columns = {"photo": [str(tmp_path / f"{k}.png") for k in range(9)], "label": ["b", None, *"aaabbbb"]}
    data = library.Dataset.from_dict(columns).cast_column("photo", library.Image())
    data.save_to_disk(tmp_path / "saved")
    assert main(["embed", str(tmp_path / "saved"), "--out", str(tmp_path / "out"), *OPTIONS]) == 0
    assert np.load(tmp_path / "out" / "features-000.npy").tobytes() == expected(pictures).tobytes()
    assert rows(tmp_path / "out") == [*zip("012345678", ["b", "", *"aaabbbb"], strict=True)]


def test_columns_that_are_none(library, pictures, tmp_path):
    data = library.Dataset.from_dict({"a": pictures, "b": pictures, "c": [1] * 9}).cast_column("a", library.Image())
    data.cast_column("b", library.Image()).save_to_disk(tmp_path / "saved")
    with pytest.raises(UserError, match=r"--image_column to name a column of images in '.*' \('a', 'b'\), got none"):
        SavedDataset(str(tmp_path / "saved")).load()
    with pytest.raises(UserError, match="--label_column to be one of 'a', 'b', 'c'"):
        SavedDataset(str(tmp_path / "saved"), "a", "kind").load()
    learn, _ = SavedDataset(str(tmp_path / "saved"), "a", "c").load()
    assert learn.label.tolist() == [0] * 9


def test_a_damaged_folder_and_the_missing_extra(tmp_path, monkeypatch, capsys):
    (tmp_path / "dataset_info.json").write_text("{}")
    monkeypatch.setitem(sys.modules, "datasets", None)
    assert main(["embed", str(tmp_path), "--out", str(tmp_path / "out"), *OPTIONS]) == 2
    assert "`python -m pip install 'msal_lightning[huggingface]'`" in capsys.readouterr().err
