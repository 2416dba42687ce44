"""Ranks of strategies over the seeds of a report, and over blocks of runs on several datasets."""

import re

import pytest

from msal_lightning.analysis.report.blocks import read_blocks
from msal_lightning.analysis.report.formats.markdown import markdown
from msal_lightning.analysis.report.ranking import rank_blocks, rank_seeds
from msal_lightning.analysis.report.ranking_tables import ranking_sentence, ranking_table
from msal_lightning.analysis.report.result import build
from msal_lightning.cli.main import main
from msal_lightning.errors import UserError

# AUBC is the mean of the two accuracies; the paired differences to Random are 0.1, 0.2, 0.0
CURVES = {
    "Random": [(0.4, 0.6), (0.4, 0.6), (0.4, 0.6)],
    "Margin": [(0.4, 0.8), (0.5, 0.9), (0.4, 0.6)],
    "Entropy": [(0.3, 0.5), (0.3, 0.5), (0.3, 0.4)],
}


def write_all(write_run, dataset="Digits", head="linear", shift=0.0, strategies=CURVES):
    for name in strategies:
        for seed, (first, last) in enumerate(CURVES[name]):
            curve = [first + shift, last + shift]
            write_run(f"{dataset}-{head}-{name}-{seed}", curve, name, seed, head, dataset=dataset)


def test_seeds_of_a_report_are_ranked(write_run, folder):
    write_all(write_run)
    ranking = rank_seeds(build([folder]))
    margin = ranking.standings[0]
    assert [one.name for one in ranking.standings] == ["Margin", "Random", "Entropy"]
    assert (margin.wins, margin.ties, margin.losses) == (2, 1, 0)
    assert margin.difference.value == pytest.approx(0.1)
    assert margin.effect.value == pytest.approx(1.0)
    assert margin.seeds_needed == 3142  # 0.1 / 0.005 = 20: (1.96 + 0.84)² · 400 = 3,140
    assert ranking.saved["Margin"].value == pytest.approx(2 * (1 - (0.6 - 1.3 / 3) / (2.3 / 3 - 1.3 / 3)))
    assert (ranking.saved["Random"].value, ranking.saved["Entropy"]) == (0.0, None)
    assert ranking_sentence(ranking).startswith("Friedman's χ² = 5.64, p = 0.060, over 3 seeds; mean ranks differ")
    text = markdown(build([folder]))
    assert re.search(r"\| Margin \| 1\.17 \| 2–1–0 \| \+0\.1000 \\\[\+0\.0000, \+0\.2000\\\] \|", text)
    assert re.search(r"\| Random \| 1\.83 \| – \| – \|", text)


def test_one_seed_or_one_method_has_no_ranks(write_run, folder):
    write_run("a", [0.4, 0.6])
    assert rank_seeds(build([folder])) is None
    write_run("b", [0.4, 0.6], "Margin")
    assert rank_seeds(build([folder])) is None


def test_blocks_are_datasets_and_heads(write_run, folder):
    write_all(write_run)
    write_all(write_run, head="prototype", shift=0.05)
    write_all(write_run, dataset="MNIST", strategies=["Random", "Margin"])
    write_run("unfinished", [0.5], "Margin", 9, loop={"initial_size": 2, "query_size": 2, "query_budget": 4})
    blocks = read_blocks([folder])
    assert blocks.strategies == ["Entropy", "Margin", "Random"]
    assert blocks.names == ["Digits, linear head, 2 to 4 labels", "Digits, prototype head, 2 to 4 labels"]
    assert [value.shape for value in blocks.values] == [(3, 3), (3, 3)]
    assert blocks.values[0][1].tolist() == pytest.approx([0.4, 0.7, 0.5])
    assert sorted(blocks.notes) == [
        "1 unfinished runs are left out",
        "MNIST, linear head, 2 to 4 labels is left out: no run of Entropy",
    ]
    ranking = rank_blocks(blocks)
    assert [(one.name, one.mean_rank) for one in ranking.standings] == [("Margin", 1), ("Random", 2), ("Entropy", 3)]
    assert ranking_table(ranking).title == "Ranks by AUBC, mean over 2 blocks, and against Random"


def test_the_command_writes_ranks(write_run, folder, tmp_path, capsys):
    write_all(write_run)
    write_all(write_run, dataset="MNIST")
    out = tmp_path / "out"
    assert main(["report", str(folder), "--across", "--out", str(out)]) == 0
    text = (out / "ranks.md").read_text(encoding="utf-8")
    assert "- MNIST, linear head, 2 to 4 labels" in text
    assert "over 2 blocks" in capsys.readouterr().out
    assert main(["figure", "ranks", str(folder), "--out", str(tmp_path / "ranks.svg")]) == 0
    assert "over 2 blocks" in capsys.readouterr().out
    picture = (tmp_path / "ranks.svg").read_text(encoding="utf-8")
    assert all(f"{name}  {rank}.00" in picture for name, rank in (("Margin", 1), ("Random", 2)))
    assert "3.00  Entropy" in picture


def test_what_cannot_be_ranked(write_run, folder, capsys):
    write_all(write_run, strategies=["Margin"])
    with pytest.raises(
        UserError, match=r"at least two strategies .* \(strategies: 1\): name runs that differ in query"
    ):
        read_blocks([folder])
    write_all(write_run, dataset="MNIST", strategies=["Random"])
    with pytest.raises(UserError, match="Digits, linear head, 2 to 4 labels is left out: no run of Random"):
        read_blocks([folder])
    write_run("again", [0.4, 0.6], "Margin", 1)
    with pytest.raises(UserError, match="expected one run a strategy and seed"):
        read_blocks([folder])
    assert main(["report", str(folder), "--across", "--logger", "wandb"]) == 2
    assert "without --logger" in capsys.readouterr().err
