"""The protocol of the verdict: which runs, in which order, and that `fit` takes their options."""

from collections import Counter

import pytest

from msal_lightning.errors import ConfigError
from msal_lightning.runs.budget import label_counts_of
from msal_lightning.runs.config import flatten
from msal_lightning.sweep.grid import cells
from msal_lightning.sweep.jobs import make_jobs
from msal_lightning.sweep.verdict import BOTH_HEADS, OTHERS, PROTOTYPES, SETS, SMALL, runs

ALL = list(runs())


def test_every_comparison_has_its_seeds():
    count = Counter((run.feature_set, run.budget, run.head, run.row, run.initial) for run in ALL)
    assert len({run.name for run in ALL}) == len(ALL) == sum(count.values())
    for name in SMALL:
        for budget in ("low", "high") if name != "stamps" else ("low",):
            for head in ("linear", "prototype"):
                assert {count[name, budget, head, row, "Random"] for row in BOTH_HEADS} == {50}
            assert {count[name, budget, "prototype", row, "Random"] for row in PROTOTYPES} == {50}
        assert {count[name, "low", "linear", row, "Random"] for row in OTHERS} == {20}
        assert count[name, "low", "prototype", "Margin", "MaxHerding"] == 50
    assert {n for (name, *_), n in count.items() if name.endswith("_whole")} == {10}


def test_an_interrupted_verdict_has_as_many_seeds_of_all():
    seeds = [run.seed for run in ALL]
    assert seeds == sorted(seeds)


def test_only_keeps_runs_that_match_a_word_of_each_kind():
    found = [*runs([3], ["MaxHerding", "Margin", "digits", "low", "linear"])]
    assert [(run.name, run.initial) for run in found] == [
        ("digits-low-linear-Margin-seed3", "Random"),
        ("digits-low-linear-MaxHerding-seed3", "Random"),
    ]


def test_fit_takes_the_options_of_each_kind_of_run(tmp_path):
    wanted = cells(["verdict"], [("data.root", ["features"]), ("seed", ["3"])], ["clipart", "fashion_mnist"])
    jobs, left_out = make_jobs(wanted, tmp_path)
    assert not left_out
    for job in jobs:
        config = flatten(job.config)
        name = job.cell.name.split("-")[0]
        times = (1, 19) if "-low-" in job.cell.name else (5, 50)
        counts = label_counts_of(config)
        assert (counts[0], counts[-1], len(counts)) == (*(SETS[name].num_classes * k for k in times), 10)
        assert config["data.init_args.root"] == ("features/clipart" if name == "clipart" else f"features/{name}/pool")
        assert config["seed"] == 3
    groups = {job.group for job in jobs if job.cell.name.startswith("clipart-")}
    assert len(groups) == 2 * 2 + 2  # heads times budgets, and two more initial sets


@pytest.mark.parametrize(
    ("experiments", "options", "only", "sentence"),
    [
        (["verdict", "table2"], [], [], "expected verdict alone"),
        (["verdict"], [("model.head", ["linear"])], [], "one --data.root, .* --only, got verdict, model.head"),
        (["verdict"], [("seed", ["one"])], [], "--seed to be whole numbers .* got 'one'"),
        (["verdict"], [], ["Margins"], "got 'Margins': did you mean Margin"),
        (["verdict"], [("seed", ["50"])], [], "to leave a run"),
    ],
)
def test_a_mistake_is_one_sentence(experiments, options, only, sentence):
    with pytest.raises(ConfigError, match=sentence):
        cells(experiments, options, only)
