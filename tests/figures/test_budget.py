"""Budget curves."""

import numpy as np
import pytest
import yaml

from msal_lightning.cli import main
from msal_lightning.errors import UserError
from msal_lightning.figures.budget import budget_curves, collect
from msal_lightning.runs import Purchase, RoundRecord, RunDirectory


def write_run(path, query, seed, accuracies, *, head="prototype", dataset="Digits", uncertainty=None):
    options = {"uncertainty": {"class_path": f"msal_lightning.strategies.{uncertainty}"}} if uncertainty else {}
    config = {
        "seed": seed,
        "data": {"class_path": f"msal_lightning.data.{dataset}"},
        "query": {"class_path": f"msal_lightning.strategies.{query}", "init_args": options},
        "model": {"head": head},
    }
    run = RunDirectory(path, config)
    run.open()
    for k, accuracy in enumerate(accuracies):
        seconds = {"fit": 1.0, "test": 0.1, "query": 0.1}
        run.commit(
            RoundRecord(k, 10 * (k + 1), 90, {"accuracy": accuracy}, seconds, None, [], Purchase(), Purchase(), {})
        )


@pytest.fixture
def runs(tmp_path):
    write_run(tmp_path / "a0", "MSALD", 0, [0.5, 0.7, 0.9], uncertainty="MSAL")
    write_run(tmp_path / "a1", "MSALD", 1, [0.3, 0.5, 0.7], uncertainty="MSAL")
    write_run(tmp_path / "b0", "MSALD", 0, [0.2, 0.3, 0.4], uncertainty="Entropy")
    write_run(tmp_path / "c0", "Random", 0, [0.1, 0.2], head="linear")
    return tmp_path


def test_runs_of_one_method_are_one_group(runs):
    groups = collect([runs])
    assert {name: len(group) for name, group in groups.items()} == {
        "MSALD, prototype head": 2,
        "MSALD(Entropy), prototype head": 1,
        "Random, linear head": 1,
    }


def test_lines_are_means_in_a_band_from_lowest_to_highest(runs):
    axes = budget_curves(collect([runs])).axes[0]
    best, *_, worst = axes.get_lines()
    np.testing.assert_allclose(best.get_xydata(), [[10, 0.4], [20, 0.6], [30, 0.8]])
    np.testing.assert_allclose(worst.get_xydata(), [[10, 0.1], [20, 0.2]])
    band = axes.collections[0].get_paths()[0].vertices
    assert {(x, round(y, 6)) for x, y in band} >= {(10, 0.3), (10, 0.5), (30, 0.7), (30, 0.9)}
    assert axes.get_legend().get_texts()[0].get_text() == "MSALD, prototype head (AUBC 0.600, 2 seeds)"


def test_runs_that_differ_in_more_than_the_seed_are_not_averaged(tmp_path):
    for beta in (5, 10):
        config = {
            "seed": beta,
            "data": {"class_path": "msal_lightning.data.Digits"},
            "query": {"class_path": "msal_lightning.strategies.MSALD", "init_args": {"beta": beta}},
            "model": {"head": "prototype"},
        }
        run = RunDirectory(tmp_path / str(beta), config)
        run.open()
        run.commit(RoundRecord(0, 10, 90, {"accuracy": 0.5}, {"fit": 1.0}, None, [], Purchase(), Purchase(), {}))
    groups = collect([tmp_path, tmp_path / "5"])  # the same run twice is one run
    assert {name: len(group) for name, group in groups.items()} == {
        "MSALD, prototype head, query.init_args.beta=5": 1,
        "MSALD, prototype head, query.init_args.beta=10": 1,
    }


def test_runs_without_a_finished_round_are_named(tmp_path):
    RunDirectory(tmp_path / "run", {"seed": 0}).open()
    with pytest.raises(UserError, match="finished rounds"):
        collect([tmp_path])


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_command_writes_the_picture(runs, ending):
    assert main(["plot", str(runs), "--out", str(runs / f"curves.{ending}")]) == 0
    assert (runs / f"curves.{ending}").stat().st_size > 1000


def test_two_datasets_in_one_picture_are_refused(runs):
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
