"""The frame of the benchmarks; what they measure has no place in a test."""

import importlib
from dataclasses import asdict

import pytest

from benchmarks.__main__ import cells, names
from benchmarks.measure import Ratio, Row, in_turn, ratio


@pytest.mark.parametrize("name", names())
def test_every_benchmark_can_be_run_and_says_what_it_is(name):
    assert callable(importlib.import_module(f"benchmarks.{name}").run)
    assert names()[name].endswith(".")


def test_targets_from_above_and_below():
    assert Row("a", {}, 0.95, 0.95).met == "yes"
    assert Row("a", {}, 0.94, 0.95).met == "no"
    assert Row("a", {}, 0.3, 0.3, at_least=False).met == "yes"
    assert Row("a", {}, 0.31, 0.3, at_least=False).met == "no"
    assert Row("a", {}, 1.0).met == ""


def test_a_spread_wider_than_the_distance_to_the_target_decides_nothing():
    assert Row("a", {}, Ratio(1.0, 0.99, 1.02), 0.95).met == "yes"
    assert Row("a", {}, Ratio(1.0, 0.97, 1.03), 0.95).met == "not resolved"
    assert Row("a", {}, Ratio(0.9, 0.89, 0.91), 0.95).met == "no"
    assert Row("a", {}, Ratio(1.4, 1.2, 1.5), 1.3, at_least=False).met == "not resolved"


def test_a_row_shows_its_spread():
    row = {"case": "a", "figures": {"s": 0.12345, "rows": 12345.0}, "value": 2.0, "target": 3.0, "at_least": True}
    assert cells({**row, "met": "no"}) == ["a", "s 0.123, rows 12,345", "2", "≥ 3", "no"]
    spread = asdict(Row("a", {}, 10 * Ratio(0.2, 0.1234, 12.0)))
    assert cells({**spread, "met": ""}) == ["a", "", "2 (1.23–120)", "", ""]


def test_calls_take_turns_and_the_first_round_is_not_counted():
    order = []
    times = in_turn({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, runs=2)
    assert order == ["a", "b"] * 3
    assert [len(values) for values in times.values()] == [2, 2]


def test_a_ratio_is_the_median_of_neighbours():
    # the ratio of the medians would be 3
    assert ratio([2.0, 20.0, 9.0], [1.0, 10.0, 3.0]) == Ratio(2.0, 2.0, 3.0)
