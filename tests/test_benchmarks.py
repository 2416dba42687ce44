"""The frame of the benchmarks; what they measure has no place in a test."""

import importlib
import json
from dataclasses import asdict

import pytest

from benchmarks import gpu
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


def test_the_benchmark_of_a_gpu_runs_on_a_cpu_too(tmp_path, capsys):
    file = tmp_path / "gpu.json"
    gpu.main(["--tiny", "--out", str(file), *gpu.SECTIONS])
    found = json.loads(file.read_text())
    assert list(found) == list(gpu.SECTIONS)
    assert {name: len(section["rows"]) for name, section in found.items()} == {
        "training": 1, "pool": 4, "capture": 0, "rounds": 1, "protocol": 1, "several": 1,
    }  # fmt: skip
    assert {section["error"] for section in found.values()} == {None}
    said = capsys.readouterr().out
    assert all(f"{name}, {section['seconds']} s" in said for name, section in found.items())


def test_a_section_that_fails_leaves_the_others(tmp_path, monkeypatch):
    def fails(size):
        yield Row("measured before", {}, 1.0)
        raise RuntimeError("CUDA error")

    file = tmp_path / "gpu.json"
    monkeypatch.setitem(gpu.SECTIONS, "training", fails)
    monkeypatch.setitem(gpu.SECTIONS, "pool", lambda size: iter([Row("after", {}, 1.0)]))
    with pytest.raises(SystemExit):
        gpu.main(["--tiny", "--out", str(file), "training", "pool"])
    found = json.loads(file.read_text())
    assert "CUDA error" in found["training"]["error"]
    assert [section["rows"][0]["case"] for section in found.values()] == ["measured before", "after"]


def test_a_round_between_two_measured_ones_takes_as_long_as_the_line_between_them_says():
    found = {500: 1.0, 1500: 3.0, 2000: 10.0}
    assert [gpu._between(found, labels) for labels in (500, 750, 1500, 1750, 2000)] == [1.0, 1.5, 3.0, 6.5, 10.0]
