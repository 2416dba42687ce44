"""Ablation of the query size."""

from dataclasses import replace

import numpy as np
import pytest

from msal_lightning.analysis.figures.query_size import query_size_panels
from msal_lightning.cli.main import main
from msal_lightning.models.class_results import ClassResults
from msal_lightning.runs.reading import read_runs


@pytest.fixture
def runs(tmp_path, write_run):
    def write(name, seed, size, labels, accuracies, **more):
        loop = {"initial_size": 10, "query_budget": 20, "query_size": size}
        write_run(tmp_path / name, "Margin", seed, accuracies, labels=labels, loop=loop, head="linear", **more)

    write("small0", 0, 10, [10, 20, 30], [0.2, 0.4, 0.8])  # (0.3 * 10 + 0.6 * 10) / 20 = 0.45
    write("small1", 1, 10, [10, 20, 30], [0.2, 0.4, 0.6])  # (0.3 * 10 + 0.5 * 10) / 20 = 0.40
    write("large0", 0, 20, [10, 30], [0.2, 0.8])  # 0.5
    write("large1", 1, 20, [10], [0.2])  # unfinished
    return tmp_path


def test_points_are_means_and_sample_standard_deviations(runs):
    by_size = {10: read_runs([runs / "small0", runs / "small1"]), 20: read_runs([runs / "large0"])}
    left, right = query_size_panels(by_size).axes
    for axes, means, std in ((left, [0.425, 0.5], 0.05 / 2**0.5), (right, [0.7, 0.8], 0.2 / 2**0.5)):
        ((line, _, (bars,)),) = axes.containers
        np.testing.assert_allclose(line.get_xydata(), np.array([[10, 20], means]).T)
        low, high = bars.get_segments()[0][:, 1]
        assert (low, high) == pytest.approx((means[0] - std, means[0] + std))
        low, high = bars.get_segments()[1][:, 1]
        assert low == high  # one seed


@pytest.mark.parametrize(("images", "name"), [([4, 4], "final accuracy"), ([4, 0], "accuracy on 1 of 2 classes")])
def test_an_accuracy_without_a_class_is_not_called_final(runs, images, name):
    by_size = {10: read_runs([runs / "small0"]), 20: read_runs([runs / "large0"])}
    for (run,) in by_size.values():
        run.records[-1] = replace(run.records[-1], test_classes=ClassResults(images, [4, 4], [2, 0]))
    assert query_size_panels(by_size).axes[1].get_ylabel() == name


def test_unfinished_runs_are_named(runs, capsys):
    assert main(["figure", "query-size", str(runs), "--out", str(runs / "b.pdf")]) == 0
    assert f"3 runs drawn in {runs / 'b.pdf'} (unfinished: {runs / 'large1'})" in capsys.readouterr().out


def test_one_size_is_not_enough(runs, capsys):
    assert main(["figure", "query-size", str(runs / "small0"), str(runs / "large1")]) == 2
    assert "got 1 (unfinished:" in capsys.readouterr().err


def test_runs_that_differ_in_more_are_refused(runs, write_run, capsys):
    loop = {"initial_size": 10, "query_budget": 20, "query_size": 20}
    write_run(runs / "other", "Margin", 0, [0.1, 0.2], labels=[10, 30], loop=loop)
    assert main(["figure", "query-size", str(runs)]) == 2
    assert "differ in loop.query_size and seed only, got model.head" in capsys.readouterr().err
