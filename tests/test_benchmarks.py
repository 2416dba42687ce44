"""The frame of the benchmarks; what they measure has no place in a test."""

import importlib

import pytest

from benchmarks.__main__ import cells, names
from benchmarks.measure import Row, in_turn, ratio


@pytest.mark.parametrize("name", names())
def test_every_benchmark_can_be_run_and_says_what_it_is(name):
    assert callable(importlib.import_module(f"benchmarks.{name}").run)
    assert names()[name].endswith(".")


def test_targets_from_above_and_below():
    assert Row("a", {}, 0.95, 0.95).met
    assert not Row("a", {}, 0.94, 0.95).met
    assert Row("a", {}, 0.3, 0.3, at_least=False).met
    assert not Row("a", {}, 0.31, 0.3, at_least=False).met
    assert Row("a", {}, 1.0).met is None
    row = {"case": "a", "figures": {"s": 0.12345, "rows": 12345.0}, "value": 2.0, "target": 3.0, "at_least": True}
    assert cells({**row, "met": False}) == ["a", "s 0.123, rows 12,345", "2", "≥ 3", "no"]


def test_calls_take_turns_and_the_first_round_is_not_counted():
    order = []
    times = in_turn({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, runs=2)
    assert order == ["a", "b"] * 3
    assert [len(values) for values in times.values()] == [2, 2]


def test_a_ratio_is_the_median_of_neighbours():
    assert ratio([2.0, 20.0, 9.0], [1.0, 10.0, 3.0]) == 2.0  # the ratio of the medians would be 3
