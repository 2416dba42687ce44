"""Error rate on the pool."""

from pathlib import Path

import numpy as np
import pytest

from msal_lightning.analysis.figures.groups import read_groups
from msal_lightning.analysis.figures.pool_error import pool_error_curves
from msal_lightning.cli.main import main


@pytest.fixture
def runs(tmp_path, write_run):
    write_run(tmp_path / "a0", "Entropy", 0, [0.5, 0.7, 0.9], pool_errors=[0.5, 0.3, 0.1])
    write_run(tmp_path / "a1", "Entropy", 1, [0.5, 0.7, 0.9], pool_errors=[0.3, 0.2, None])
    write_run(tmp_path / "b0", "Random", 0, [0.5, 0.7, 0.9])
    return tmp_path


def test_lines_are_means_over_the_rounds_that_all_seeds_measured(runs):
    axes = pool_error_curves(read_groups([Path(runs)])).axes[0]
    (line,) = axes.get_lines()
    np.testing.assert_allclose(line.get_xydata(), [[0, 40], [1, 25]])
    band = axes.collections[0].get_paths()[0].vertices
    assert {(x, round(y, 6)) for x, y in band} >= {(0, 30), (0, 50), (1, 20), (1, 30)}
    assert line.get_label() == "Entropy(MSAL) (2 seeds)"


def test_runs_without_are_named(runs, capsys):
    out = runs / "error.svg"
    assert main(["figure", "pool-error", str(runs), "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert f"2 runs drawn in {out}" in said
    assert f"no error rate on the pool in {runs / 'b0'}: `fit` with --loop.pool_error true" in said


def test_no_run_with_one_is_a_mistake(runs, capsys):
    assert main(["figure", "pool-error", str(runs / "b0"), "--out", str(runs / "error.png")]) == 2
    assert "--loop.pool_error true" in capsys.readouterr().err
    assert not (runs / "error.png").exists()
