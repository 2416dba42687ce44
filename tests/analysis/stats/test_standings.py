"""Strategies against a baseline, by hand."""

import numpy as np
import pytest

from msal_lightning.analysis.stats.power import seeds_needed
from msal_lightning.analysis.stats.standings import score_rows, standings

ONE = np.array([[0.5, 0.6, 0.5], [0.5, 0.7, 0.4], [0.5, 0.5, 0.3]])  # three seeds of three strategies


def test_seeds_of_one_block_are_ranked():
    first, second, third = standings(["Random", "good", "bad"], [ONE], "Random")
    assert (first.name, first.mean_rank) == ("good", pytest.approx((1 + 1 + 1.5) / 3))
    assert (first.wins, first.ties, first.losses) == (2, 1, 0)
    assert first.difference.value == pytest.approx(0.1)
    assert first.effect.value == pytest.approx(0.1 / 0.1)
    assert first.seeds_needed == seeds_needed(0.1)
    assert (second.name, second.difference, second.mean_rank) == ("Random", None, pytest.approx((2.5 + 2 + 1.5) / 3))
    assert (third.wins, third.ties, third.losses) == (0, 1, 2)
    assert third.difference.high <= 0
    assert first.p == pytest.approx(0.2254, abs=1e-4)  # t = 0.1 / (0.1 / √3), two degrees of freedom


def test_means_of_several_blocks_are_ranked():
    other = np.array([[0.9, 0.8, 0.1], [0.7, 0.8, 0.1]])  # two seeds; equal means of the first two
    rows = score_rows([ONE, other])
    assert rows.tolist() == [pytest.approx([0.5, 0.6, 0.4]), pytest.approx([0.8, 0.8, 0.1])]
    good = standings(["Random", "good", "bad"], [ONE, other], "Random")[0]
    assert good.difference.value == pytest.approx((0.1 + 0.0) / 2)
    assert good.seeds_needed == seeds_needed(np.sqrt((0.1**2 + 0.02) / 2))


def test_without_a_baseline_there_are_ranks_only():
    found = standings(["a", "b"], [ONE[:, :2]], None)
    assert [(s.name, s.difference, s.seeds_needed) for s in found] == [("b", None, None), ("a", None, None)]
