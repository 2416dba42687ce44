"""The page of the verdict is what its table says, and the table is read as it was written."""

from dataclasses import replace
from functools import partial

import pytest

from benchmarks.marks import fill
from benchmarks.verdict.conclusions import gain, loss, tie
from benchmarks.verdict.effects import Effect, Pair, curves_of, effect, saved, scores
from benchmarks.verdict.page import CELLS, PAGE, cells_page, tables
from benchmarks.verdict.table import Line, check_same_runs, check_same_start, finished, read_table, write_table
from msal_lightning.analysis.stats.estimates import Estimate
from msal_lightning.cli.main import main
from msal_lightning.runs.records import read_records
from msal_lightning.sweep.grid import run_folder
from msal_lightning.sweep.verdict import Run, runs


def lines_of_a_verdict():
    """Random gains 0.5 to 0.6, Margin 0.02 more; another seed the same, shifted."""
    for seed in range(4):
        for row, more in (("Random", 0), ("Margin", 20)):
            correct = tuple(500 + seed + more * (seed + 1) + 50 * k for k in range(3))
            yield Line(Run("clipart", "low", "linear", row, "Random", seed), (11, 33, 55), correct, 1000, 1.5, "00ff")


def test_the_table_of_the_verdict_is_read_as_it_was_written(tmp_path):
    lines = [*lines_of_a_verdict()]
    for name, order in (("a", lines), ("b", lines[::-1])):
        write_table(order, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert sorted(read_table(tmp_path / "a"), key=repr) == sorted(lines, key=repr)
    assert read_table(tmp_path / "none") == []


def test_runs_on_another_feature_set_are_refused():
    lines = [replace(line, correct=(500, *line.correct[1:])) for line in lines_of_a_verdict()]
    check_same_start(lines)
    check_same_runs({line.run: line for line in lines[1:]}, lines)
    other = replace(lines[0], correct=(499, *lines[0].correct[1:]))
    with pytest.raises(SystemExit, match="correct test images"):
        check_same_start([other, *lines[1:]])
    with pytest.raises(SystemExit, match="the feature set or the versions are others"):
        check_same_runs({line.run: line for line in lines}, [other])


def test_only_finished_runs_on_the_wanted_feature_set_are_read(tmp_path):
    run = Run("clipart", "low", "linear", "Random", "Random", 0)
    options = ["--config", "digits", "--trainer.max_steps", "2", "--model.backbone.width", "4", "--query", "Random"]
    options += ["--loop.query_size", "10", "--loop.query_budget", "90", "--run_dir", str(tmp_path / run_folder(run))]
    assert main(["fit", *options]) == 0
    (line,) = finished(tmp_path, [run, replace(run, seed=1)], {"stamps": "00"})
    records = read_records(tmp_path / run_folder(run))
    assert line.accuracy == [record.accuracy for record in records]
    assert line.labels == tuple(range(40, 131, 10))
    with pytest.raises(SystemExit, match="expected the feature set 00 in"):
        [*finished(tmp_path, [run], {"clipart": "00"})]


def test_an_effect_is_the_mean_difference_at_the_seeds_that_both_have():
    lines = [line for line in lines_of_a_verdict() if (line.run.row, line.run.seed) != ("Random", 3)]
    pair = Pair(*(("clipart", "low", "linear", row, "Random") for row in ("Margin", "Random")))
    found = effect("Margin", scores(lines), {("clipart", "low"): [pair]})
    assert found.estimate.value == pytest.approx((0.02 + 0.04 + 0.06) / 3)
    assert found.estimate.low < found.estimate.value < found.estimate.high
    gained = saved(curves_of(lines), pair)  # mean curves 0.501 + 0.05 k, and 0.04 above: 0.04 / 0.05 of 22 labels less
    assert gained.value == pytest.approx(0.04 / 0.05 * 22)
    assert (found.positive, found.num_blocks, found.num_runs, found.std) == (1, 1, 3, pytest.approx(0.02))


def test_a_sentence_that_does_not_hold_stops_the_page():
    one = Effect("Margin", Estimate(0.01, 0.002, 0.02), 8, 9, 90, 0.1)
    assert gain(one) == "+0.0100 [+0.0020, +0.0200]"
    for check in (partial(gain, everywhere=True), loss, tie):
        with pytest.raises(SystemExit, match="above 0 in 8 of 9 blocks: correct the sentence"):
            check(one)


def test_the_page_of_the_verdict_is_the_one_of_its_table():
    """Every table and every cell; the pictures come from the same call."""
    lines = read_table()
    found = scores(lines)
    assert CELLS.read_text() == cells_page(lines, found)
    assert PAGE.read_text() == fill(PAGE, tables(lines, found))
    assert {line.run for line in lines} <= {*runs()}
    check_same_start(lines)
    assert len({line.run for line in lines}) == len(lines)
