"""The confusion matrix as a figure: counts, names, and classes without test images."""

import re

import numpy as np
import pytest
from matplotlib import pyplot as plt

from msal_lightning.analysis.figures.confusion import confusion_matrix
from msal_lightning.cli.main import main
from msal_lightning.models.class_results import ClassResults
from msal_lightning.runs.directory import RunDirectory
from msal_lightning.runs.records import LabeledImages, RoundRecord


@pytest.fixture
def run(tmp_path):
    """Two rounds with results by class, and one without."""
    config = {"seed": 3, "data": {"class_path": "Digits"}, "query": {"class_path": "Random"}}
    run = RunDirectory(tmp_path / "run", config)
    run.open()
    results = [
        ClassResults([4, 0], [2, 2], [2, 0], None, ["0:2 1:2", ""]),
        ClassResults([4, 2], [3, 3], [3, 2], None, ["0:3 1:1", "1:2"]),
        None,
    ]
    for k, one in enumerate(results):
        names = ["good", "defect"] if k == 0 else None
        run.commit(
            RoundRecord(
                k,
                4,
                9,
                {"accuracy": 0.5},
                {"fit": 1.0},
                None,
                [0, 0],
                LabeledImages(),
                LabeledImages([0], [0]),
                {},
                class_names=names,
                test_classes=one,
            )
        )
    run.close()
    return str(run.path)


def test_the_figure_of_a_round(run, tmp_path, capsys):
    out = tmp_path / "a.svg"
    assert main(["figure", "confusion", run, "--round", "0", "--out", str(out)]) == 0
    assert f"round 0 of {run} drawn in {out}" in capsys.readouterr().out
    text = out.read_text()
    for words in ("good (4)", "defect (no test image)", "accuracy on 1 of 2 classes 0.5000", "seed 3"):
        assert words in text
    assert main(["figure", "confusion", run, "--round", "1", "--out", str(out)]) == 0
    assert "defect (2)" in out.read_text()
    assert "labels: accuracy 0.5000" in out.read_text()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], "confusion matrix in the record of round 2 .* found none: it was made before"),
        (["--round", "3"], "expected --round to be 0 to 2 in .*, got 3"),
        (["--round", "-1"], "expected --round to be 0 to 2 in .*, got -1"),
        (["--out", "a.bmp"], "expected --out to end in"),
    ],
)
def test_what_cannot_be_drawn_is_said(run, tmp_path, monkeypatch, capsys, options, expected):
    monkeypatch.chdir(tmp_path)
    assert main(["figure", "confusion", run, *options]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert re.search(expected, said)


def test_several_runs_are_refused(run, capsys):
    assert main(["figure", "confusion", run, run]) == 2
    assert "expected one run directory for the confusion matrix, got 2" in capsys.readouterr().err


@pytest.mark.parametrize("size", [2, 10, 100])
def test_each_count_stands_in_its_cell(size):
    matrix = np.random.default_rng(0).integers(0, 3, (size, size))
    matrix[1] = 0
    figure = confusion_matrix(matrix, [f"class {c}" for c in range(size)], "title")
    axes = figure.axes[0]
    got = {(int(text.get_position()[1]), int(text.get_position()[0])): text.get_text() for text in axes.texts}
    assert got == {(i, j): str(matrix[i, j]) for i, j in zip(*np.nonzero(matrix), strict=True)}
    shown = axes.images[0].get_array()
    assert np.ma.getmaskarray(shown)[1].all()
    assert shown[0].sum() == pytest.approx(1)
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels[1] == "class 1 (no test image)"
    assert len(labels) == size
    plt.close(figure)
