"""``datasets``, ``datasets prepare`` and ``datasets show``."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from msal_lightning.cli.datasets import contact_sheet
from msal_lightning.cli.main import main
from msal_lightning.config.catalog import classes, literal
from msal_lightning.data import ActiveDataModule, ImageSet


def test_list_says_what_is_on_disk(idx_root, tmp_path, capsys):
    assert main(["datasets", "--root", str(tmp_path / "none")]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert set(lines) == set(classes("datasets", "ActiveDataModule"))
    assert " missing " in lines["MNIST"]
    assert " on disk " in lines["Digits"]
    assert "10 classes, 60,000 to train on, 10,000 to test. From http" in lines["MNIST"]
    assert main(["datasets", "--root", str(idx_root())]) == 0
    assert "MNIST         on disk" in capsys.readouterr().out


def test_list_reads_literals_only():
    for name in classes("datasets", "ActiveDataModule"):
        cls = next(cls for cls in ActiveDataModule.__subclasses__() if name in {cls.__name__, *_below(cls)})
        cls = cls if cls.__name__ == name else next(c for c in cls.__subclasses__() if c.__name__ == name)
        assert (literal("datasets", name, "files") or ()) == cls.files
        assert (literal("datasets", name, "source") or "") == cls.source


def _below(cls):
    return {sub.__name__ for sub in cls.__subclasses__()}


def test_prepare_reads_and_counts(idx_root, capsys):
    root = idx_root(200, 100)
    assert main(["datasets", "prepare", "MNIST", "--data.root", str(root)]) == 0
    out = capsys.readouterr().out
    assert "train       200 images 1×16×16, 10 classes of 20 to 20" in out
    assert "test        100 images 1×16×16, 10 classes of 10 to 10" in out
    assert "MNIST is ready" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["prepare"], "expected the name of a dataset"),
        (["prepare", "MNISTT"], "did you mean MNIST"),
        (["show", "Digits", "--data.rot", "x"], "no option 'rot': did you mean root"),
        (["show", "Digits", "--out", "no/such/folder/x.png"], "cannot write the picture"),
        (["show", "Digits", "--out", "x.docx"], "cannot write the picture"),
        (["preparre"], "got 'preparre': did you mean prepare?"),
    ],
)
def test_a_mistake_is_one_sentence(arguments, message, capsys):
    assert main(["datasets", *arguments]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1


def test_show_draws_each_class_in_its_row_with_its_name(tmp_path, capsys):
    colour = torch.tensor([[255, 0, 0], [0, 255, 0], [0, 0, 255]], dtype=torch.uint8)
    label = torch.tensor([2, 0, 1, 1, 0, 2, 2])
    image = colour[label][:, :, None, None].expand(-1, -1, 5, 5)
    figure = contact_sheet(ImageSet(image, label), ("red", "green", "blue"), "Colours")
    rows = np.array(figure.axes).reshape(3, 8)
    for c, (name, row) in enumerate(zip(("red", "green", "blue"), rows, strict=True)):
        assert [text.get_text() for text in row[0].texts] == [name]
        pictures = [axes.images[0].get_array() for axes in row if axes.images]
        assert len(pictures) == int((label == c).sum())
        assert all((picture == colour[c].numpy()).all() for picture in pictures)
    plt.close(figure)
    out = tmp_path / "digits.png"
    assert main(["datasets", "show", "Digits", "--out", str(out)]) == 0
    assert out.stat().st_size > 10_000
    assert "drawn in" in capsys.readouterr().out


def test_show_of_many_classes_says_so():
    label = torch.arange(30)
    figure = contact_sheet(ImageSet(torch.zeros(30, 1, 4, 4, dtype=torch.uint8), label), tuple(map(str, label)), "Many")
    assert figure._suptitle.get_text() == "Many (the first 20 of 30 classes)"
    plt.close(figure)
