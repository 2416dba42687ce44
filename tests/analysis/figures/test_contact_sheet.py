"""What each strategy chose."""

import numpy as np
import pytest
import torch
from PIL import Image

from msal_lightning.analysis.figures.contact_sheet import Choice, contact_sheet
from msal_lightning.cli.main import main
from msal_lightning.datasets import Digits, ImageFolder
from msal_lightning.runs.records import LabeledImages


def images_of(axes):
    return [np.asarray(image.get_array()) for image in axes.get_images()]


def texts_of(axes):
    return [text.get_text() for text in axes.texts]


@pytest.fixture
def digits():
    data = Digits()
    data.setup()
    return data


def test_images_lie_in_rows_with_their_labels_and_scores():
    image = torch.arange(3 * 16, dtype=torch.uint8).view(3, 1, 4, 4)
    choices = [Choice(0, image[:2], ["cat", "a very long name"], [0.25, 2.0]), Choice(5, image[2:], ["dog"], None)]
    (axes,) = contact_sheet({"Entropy": choices}).axes
    for drawn, expected in zip(images_of(axes), image, strict=True):
        np.testing.assert_array_equal(drawn, expected[0])
    assert texts_of(axes) == ["Entropy", "round 0", "cat", "score 0.250", "a very lon…", "score 2.00", "round 5", "dog"]
    first, second, below = (picture.get_extent() for picture in axes.get_images())
    assert second[0] > first[1]
    assert second[2:] == first[2:]
    assert below[:2] == first[:2]
    assert below[3] < first[2]
    assert all(picture.get_interpolation() == "nearest" for picture in axes.get_images())


def test_colour_images_stay_coloured_and_large_ones_are_smoothed():
    image = torch.randint(0, 256, (1, 3, 70, 70), dtype=torch.uint8)
    (axes,) = contact_sheet({"Random": [Choice(0, image, ["cat"], None)]}).axes
    np.testing.assert_array_equal(images_of(axes)[0], image[0].permute(1, 2, 0))
    assert axes.get_images()[0].get_interpolation() != "nearest"


def test_images_are_those_of_the_ledger_spread_over_the_ranks(tmp_path, write_run, digits, monkeypatch):
    drawn = {}
    monkeypatch.setattr(
        "msal_lightning.analysis.figures.contact_sheet.save", lambda figure, out: drawn.setdefault("axes", figure.axes)
    )
    queried = LabeledImages([7, 900, 3, 41], [5, 1, 0, 2], [0.9, 0.8, 0.7, 0.6])
    write_run(tmp_path / "a0", "Entropy", 0, [0.5, 0.6], queried=[queried, LabeledImages()])
    write_run(tmp_path / "a1", "Entropy", 1, [0.5, 0.6], queried=[LabeledImages([1], [1], [0.1]), LabeledImages()])
    assert main(["figure", "contact-sheet", str(tmp_path), "--images", "2", "--out", str(tmp_path / "a.png")]) == 0
    (axes,) = drawn["axes"]  # the lowest seed only
    assert texts_of(axes) == ["Entropy(MSAL) on Digits", "round 0", "5", "score 0.900", "0", "score 0.700"]
    for image, index in zip(images_of(axes), [7, 3], strict=True):
        np.testing.assert_array_equal(image, digits.images[index, 0])


def test_a_folder_of_images(tmp_path, write_run, capsys):
    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(5):
            pixels = rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{i}.png")
    options = {"root": str(tmp_path / "photos"), "size": 16}
    data = ImageFolder(**options)
    data.setup()
    index = torch.tensor([0, 5])
    queried = LabeledImages(index.tolist(), [0, 1], None, data.paths(index))
    write_run(tmp_path / "run", "Random", 0, [0.5], dataset="ImageFolder", data=options, queried=[queried])
    out = tmp_path / "sheet.svg"
    assert main(["figure", "contact-sheet", str(tmp_path / "run"), "--out", str(out)]) == 0
    assert all(name in out.read_text() for name in ("cat", "dog"))

    (tmp_path / "photos").rename(tmp_path / "moved")
    assert main(["figure", "contact-sheet", str(tmp_path / "run"), "--out", str(out)]) == 2
    assert "data.root" in capsys.readouterr().err
    moved = ["--root", str(tmp_path / "moved"), "--out", str(out)]
    assert main(["figure", "contact-sheet", str(tmp_path / "run"), *moved]) == 0

    (tmp_path / "moved" / "cat" / "0.png").rename(tmp_path / "moved" / "cat" / "9.png")
    assert main(["figure", "contact-sheet", str(tmp_path / "run"), *moved]) == 2
    assert "expected the images that" in capsys.readouterr().err


def test_an_index_that_the_dataset_does_not_have_is_a_mistake(tmp_path, write_run, capsys):
    write_run(tmp_path / "run", "Random", 0, [0.5], queried=[LabeledImages([5000], [1])])
    assert main(["figure", "contact-sheet", str(tmp_path / "run"), "--out", str(tmp_path / "a.png")]) == 2
    assert "set --root to their folder" in capsys.readouterr().err


def test_runs_that_bought_nothing_are_a_mistake(tmp_path, write_run, capsys):
    write_run(tmp_path / "run", "Random", 0, [0.5])
    assert main(["figure", "contact-sheet", str(tmp_path / "run"), "--out", str(tmp_path / "a.png")]) == 2
    assert "a round in which all runs queried" in capsys.readouterr().err
