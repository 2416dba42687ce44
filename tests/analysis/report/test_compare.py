"""Which runs may be compared, and what they add up to."""

import shutil

import pytest

from msal_lightning.analysis.report.aggregate import jaccard, summarize
from msal_lightning.analysis.report.compare import compare
from msal_lightning.analysis.report.result import build, class_names
from msal_lightning.cli.main import main
from msal_lightning.errors import UserError


def names(comparison):
    return {method.name: list(method.runs) for method in comparison.methods}


def test_seeds_of_a_method_come_together(write_run, folder):
    write_run("a1", [0.5, 0.7], "MSALD", 1, "prototype")
    write_run("a0", [0.5, 0.7], "MSALD", 0, "prototype")
    write_run("b", [0.5, 0.7], "Margin", 0, "prototype")
    write_run("c", [0.5, 0.7], "Margin", 3)
    assert names(compare([folder, folder / "b"])) == {"MSAL-D": [0, 1], "Margin": [3], "Margin(MSAL)": [0]}


def test_variants_of_a_row_are_told_apart_by_what_differs(write_run, folder):
    for beta in (5.0, 10.0):
        write_run(f"beta{beta}", [0.5, 0.7], "MSALD", 0, "prototype", options={"beta": beta, "other": 1})
    assert names(compare([folder])) == {"MSAL-D, beta=5.0": [0], "MSAL-D, beta=10.0": [0]}


def test_a_lag_is_a_method_of_its_own(write_run, folder):
    sizes = {"initial_size": 2, "query_size": 1, "query_budget": 2}
    write_run("before", [0.5, 0.6, 0.7], loop=sizes, seed=1)  # of a version without the option
    for lag in (0, 1):
        write_run(f"lag{lag}", [0.5, 0.6, 0.7], loop=sizes | {"lag": lag}, seed=0)
    assert names(compare([folder])) == {"Random, lag=0": [0, 1], "Random, lag=1": [0]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data": {"batch_size": 16}}, r"data\.init_args\.batch_size 8 in .*a0 and 16 in .*b0"),
        ({"trainer": {"max_epochs": 3}}, r"trainer\.max_epochs None in .*a0 and 3 in .*b0"),
        ({"loop": {"initial_size": 2, "query_size": 1, "query_budget": 1}}, r"loop\.query_budget 2 in .*and 1 in"),
        ({"loop": {"initial_size": 2, "query_size": 2, "query_budget": 40}}, r"loop\.query_budget 2 in .*and 40 in"),
        ({"dataset": "MNIST"}, "one dataset, got Digits and MNIST"),
        ({"initial": (0, 5)}, r"one initial set for seed 0, got 1 other images in .*b0 than in .*a0"),
    ],
)
def test_what_cannot_be_compared_is_named(change, message, write_run, folder, capsys, tmp_path):
    write_run("a0", [0.5, 0.7])
    write_run("b0", [0.5, 0.7], "Margin", **change)
    assert main(["report", str(folder), "--out", str(tmp_path / "out")]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    with pytest.raises(UserError, match=message):
        compare([folder])
    assert not (tmp_path / "out").exists()


def test_what_alters_no_result_may_differ(write_run, folder):
    write_run("a", [0.5, 0.7], data={"root": "here", "num_workers": 1}, logger="csv")
    write_run("b", [0.5, 0.7], "Margin", data={"root": "there", "num_workers": 4}, logger="wandb")
    write_run(
        "c", [0.5, 0.7], "Entropy", initial=(4, 5), seed=1, data={"eval_batch_size": 5}
    )  # another seed, another initial set
    assert len(compare([folder]).methods) == 3


def test_one_seed_twice_is_refused(write_run, folder):
    write_run("a", [0.5, 0.7])
    write_run("b", [0.5, 0.8])
    with pytest.raises(UserError, match=r"one run a method and seed, got .*a and .*b with seed 0"):
        compare([folder])


def test_unfinished_runs_are_left_out_and_noted(write_run, folder, capsys, tmp_path):
    loop = {"initial_size": 2, "query_size": 2, "query_budget": 4}
    write_run("whole", [0.5, 0.7, 0.9], loop=loop)
    write_run("part", [0.5, 0.7], "Margin", loop=loop)
    write_run("none", [], "Entropy", loop=loop)
    comparison = compare([folder])
    assert names(comparison) == {"Random": [0]}
    assert sorted(note.partition("/runs/")[2] for note in comparison.notes) == [
        "none is left out: 0 of 3 rounds are finished",
        "part is left out: 2 of 3 rounds are finished",
    ]
    assert main(["report", str(folder), "--out", str(tmp_path / "out")]) == 0
    assert "part is left out" in (tmp_path / "out" / "report.md").read_text()
    # lines break anywhere in a long path
    assert "partisleftout:2of3rounds" in "".join(capsys.readouterr().out.split())


def test_only_unfinished_runs_are_an_error(write_run, folder):
    write_run("part", [0.5, 0.7], loop={"initial_size": 2, "query_size": 2, "query_budget": 4})
    with pytest.raises(UserError, match=r"expected finished runs.*2 of 3 rounds"):
        compare([folder])


def test_full_stands_apart(write_run, folder):
    write_run("full", [0.99], loop={"initial_size": "all", "query_size": 1, "query_budget": 0}, initial=range(100))
    write_run("a", [0.5, 0.7])
    write_run("b", [0.5, 0.6], "Margin")
    report = build([folder])
    assert [row.name for row in report.rows] == ["Random", "Margin", "Full"]
    full = report.rows[-1]
    assert full.measured["AUBC"] is None
    assert full.measured["F-acc"].mean == 0.99
    assert (full.saved, full.penalty) == (None, None)
    assert len(report.penalties) == 2
    assert [(test.first, test.second) for test in report.tests] == [("Random", "Margin")]


def test_aggregates_by_hand(write_run, folder):
    write_run("a0", [0.5, 0.7, 0.9], seed=0)
    write_run("a1", [0.3, 0.5, 0.8], seed=1)
    (method,) = compare([folder]).methods
    summary = summarize(method)
    # trapezoids over 2, 4, 6 labels: (0.6 + 0.8) / 2 and (0.4 + 0.65) / 2
    assert summary.aubc == pytest.approx({0: 0.7, 1: 0.525})
    assert summary.final == {0: 0.9, 1: 0.8}
    assert summary.seconds == {"fit": 6.0, "test": 1.5, "query": 0.75}  # three rounds
    assert [labels for labels, *_ in summary.mean_curve] == [2, 4, 6]
    assert summary.mean_curve[1] == (4, pytest.approx(0.6), 0.5, 0.7)
    assert summary.class_counts == [2.0, 2.0]
    row = build([folder]).rows[0]
    assert row.measured["AUBC"].mean == pytest.approx(0.6125)
    assert row.measured["AUBC"].std == pytest.approx(0.175 / 2**0.5)  # |difference| / √2 for two values


def test_overlap_by_hand(write_run, folder):
    write_run("a0", [0.5, 0.7], seed=0, queried=[[2, 3, 4]])
    write_run("a1", [0.5, 0.7], seed=1, queried=[[2, 3]])
    write_run("b0", [0.5, 0.7], "Margin", 0, queried=[[3, 4, 5]])
    write_run("b1", [0.5, 0.7], "Margin", 1, queried=[[8, 9]])
    first, second = map(summarize, compare([folder]).methods)
    assert jaccard(first, second) == pytest.approx((2 / 4 + 0) / 2)
    assert jaccard(first, first) == 1.0


def test_classes_are_called_as_the_records_say(write_run, folder):
    write_run("a", [0.5, 0.7], class_names=["cat & dog", "<b>"])
    assert build([folder]).classes == ["cat & dog", "<b>"]


def test_classes_without_names_go_by_number(write_run, folder):
    write_run("a", [0.5, 0.7])
    run = build([folder]).comparison.methods[0].runs[0]
    assert class_names(run, 2) == ["0", "1"]


def test_replays_of_other_seeds_are_one_method(write_run, folder):
    for seed in (0, 1):
        source = write_run(f"../source{seed}", [0.5, 0.6], "Margin", seed)
        write_run(f"again{seed}", [0.4, 0.5], "Margin", seed, loop={"replay": str(source)})
    assert [len(method.runs) for method in compare([folder]).methods] == [2]
    shutil.rmtree(folder.parent / "source0")  # nobody knows whether it was the same method
    with pytest.raises(UserError, match=r"got loop.replay .*source0 in"):
        compare([folder])


def test_damaged_configuration_is_named(write_run, folder):
    (write_run("a", [0.5, 0.7]) / "config.yaml").write_text("{[")
    with pytest.raises(UserError, match=r"a/config.yaml' is damaged"):
        compare([folder])
