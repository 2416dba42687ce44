"""Budget curves."""

from dataclasses import replace

import numpy as np
import pytest
import yaml

from msal_lightning.analysis.figures.budget import budget_curves, collect
from msal_lightning.analysis.figures.style import line_settings
from msal_lightning.analysis.method_style import COLOURS, method_style
from msal_lightning.cli.main import main
from msal_lightning.errors import UserError
from msal_lightning.runs.directory import RunDirectory


@pytest.fixture
def runs(tmp_path, write_run):
    write_run(tmp_path / "a0", "MSALD", 0, [0.5, 0.7, 0.9], uncertainty="MSAL")
    write_run(tmp_path / "a1", "MSALD", 1, [0.3, 0.5, 0.7], uncertainty="MSAL")
    write_run(tmp_path / "b0", "MSALD", 0, [0.2, 0.3, 0.4], uncertainty="Entropy")
    write_run(tmp_path / "c0", "Random", 0, [0.1, 0.2], head="linear")
    return tmp_path


def test_runs_of_one_method_are_one_group(runs):
    groups = collect([runs])
    assert {name: len(group) for name, group in groups.items()} == {
        "MSAL-D": 2,
        "Entropy(MSAL-D)": 1,
        "Random": 1,
    }


def test_lines_are_means_in_a_band_from_lowest_to_highest(runs):
    axes = budget_curves(collect([runs])).axes[0]
    best, *_, worst = axes.get_lines()
    np.testing.assert_allclose(best.get_xydata(), [[10, 0.4], [20, 0.6], [30, 0.8]])
    np.testing.assert_allclose(worst.get_xydata(), [[10, 0.1], [20, 0.2]])
    band = axes.collections[0].get_paths()[0].vertices
    assert {(x, round(y, 6)) for x, y in band} >= {(10, 0.3), (10, 0.5), (30, 0.7), (30, 0.9)}
    assert axes.get_legend().get_texts()[0].get_text() == "MSAL-D (AUBC 0.600, 2 seeds)"


def test_rounds_with_other_classes_are_drawn_apart(runs):
    first, second, third = collect([runs])["Entropy(MSAL-D)"][0]
    second = replace(second, class_numbers=[0, 0, 1], class_names=["ab", "c"])
    figure = budget_curves({"changed": [[first, second, third]], "same": [[first, second, third][:1]]})
    by_label = {line.get_label(): line.get_xydata().tolist() for line in figure.axes[0].get_lines()}
    assert by_label["changed (AUBC 0.350 with 2 classes, 1 seed)"] == [[20, 0.3], [30, 0.4]]
    assert by_label["before, with 0 classes"] == [[10, 0.2]]
    assert by_label["same (AUBC –, 1 seed)"] == [[10, 0.2]]


def test_runs_that_differ_in_more_than_the_seed_are_not_averaged(tmp_path, write_run):
    for beta in (5.0, 10.0):
        write_run(tmp_path / str(beta), "MSALD", int(beta), [0.5], uncertainty="MSAL", beta=beta)
    groups = collect([tmp_path, tmp_path / "5.0"])  # the same run twice is one run
    assert {name: len(group) for name, group in groups.items()} == {
        "MSAL-D, query.beta=5": 1,
        "MSAL-D, query.beta=10": 1,
    }


def test_a_key_that_is_none_is_one_that_is_not_there(tmp_path, write_run):
    write_run(tmp_path / "old", "Random", 0, [0.5], loop={"query_size": 10})
    write_run(tmp_path / "new", "Random", 1, [0.5], loop={"query_size": 10, "pool_limit": None})
    assert list(map(len, collect([tmp_path]).values())) == [2]


def test_runs_without_a_finished_round_are_named(tmp_path):
    RunDirectory(tmp_path / "run", {"seed": 0}).open()
    with pytest.raises(UserError, match="finished rounds"):
        collect([tmp_path])


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_command_writes_the_picture(runs, ending):
    out, again = runs / f"curves.{ending}", runs / f"again.{ending}"
    assert main(["plot", str(runs), "--out", str(out)]) == 0
    assert main(["figure", "budget", str(runs), "--out", str(again)]) == 0
    assert out.stat().st_size > 1000
    assert out.read_bytes() == again.read_bytes()  # `plot` is the short form, and there is no date in it


def test_text_of_a_vector_picture_is_text(runs):
    assert main(["plot", str(runs), "--out", str(runs / "curves.svg")]) == 0
    assert "MSAL-D (AUBC 0.600, 2 seeds)" in (runs / "curves.svg").read_text()


def test_a_method_looks_the_same_whatever_stands_beside_it(runs):
    lines = budget_curves(collect([runs])).axes[0].get_lines()
    by_name = {line.get_label().partition(" (AUBC")[0]: line for line in lines}
    assert by_name.keys() == {"Random", "MSAL-D", "Entropy(MSAL-D)"}
    for name, line in by_name.items():
        assert line.get_color() == line_settings(name)["color"] == COLOURS[method_style(name).colour]
        assert line.get_marker() == line_settings(name)["marker"]


def test_many_methods_have_a_panel_each(runs, write_run):
    for query in ("Margin", "BALD", "KCenter", "BADGE"):
        write_run(runs / f"{query}0", query, 0, [0.1, 0.3], head="linear")
    figure = budget_curves(collect([runs]))
    panels = [axes for axes in figure.axes if axes.get_visible()]
    assert len(panels) == 7
    for axes in panels:
        name = axes.get_title(loc="left")
        (own,) = [line for line in axes.get_lines() if line.get_label() == name]
        assert own.get_color() == line_settings(name)["color"]
        assert {line.get_color() for line in axes.get_lines() if line is not own} == {"0.82"}
        assert len(axes.get_lines()) == 7
    assert panels[0].get_title(loc="left") == "MSAL-D"  # the best


def test_the_picture_names_the_dataset(runs):
    assert main(["plot", str(runs), "--out", str(runs / "a.svg")]) == 0
    assert ">Digits<" in (runs / "a.svg").read_text()


def test_two_datasets_in_one_picture_are_refused(runs, write_run):
    write_run(runs / "d0", "Random", 0, [0.1, 0.2], dataset="MNIST")
    with pytest.raises(UserError, match="one dataset, got Digits and MNIST"):
        collect([runs])


def test_a_folder_without_runs_is_named(tmp_path):
    with pytest.raises(UserError, match=r"found no config.yaml"):
        collect([tmp_path])


def test_an_impossible_picture_is_named(runs, capsys):
    assert main(["plot", str(runs), "--out", str(runs / "curves.xyz")]) == 2
    assert "--out" in capsys.readouterr().err


def test_the_configuration_of_a_run_is_plain_yaml(runs):
    assert yaml.safe_load((runs / "a0" / "config.yaml").read_text())["model"] == {"head": "prototype"}
