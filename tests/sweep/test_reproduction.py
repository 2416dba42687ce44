"""The protocol of the reproduction: which runs, in which order, and on which device."""

import json

import pytest

from msal_lightning.cli.main import main
from msal_lightning.errors import ConfigError
from msal_lightning.paper.experiments import TABLE2, TABLE3, TABLE4
from msal_lightning.runs.budget import label_counts_of
from msal_lightning.runs.config import flatten
from msal_lightning.runs.records import FORMAT, LabeledImages, RoundRecord, digest_of, record_body
from msal_lightning.sweep.grid import cells
from msal_lightning.sweep.jobs import make_jobs
from msal_lightning.sweep.reproduction import CORE, CUT, NAME, ROWS, runs
from msal_lightning.sweep.same_device import of_this_device


def test_what_matters_most_comes_first():
    found = [*runs(NAME)]
    assert [(run.row, run.last_batch, run.seed) for run in found[:5]] == [
        *((row, "keep", 0) for row in ("MSAL-D", "MSAL", "Entropy", "Random")),
        ("MSAL-D", "keep", 1),
    ]
    assert {(run.row, run.last_batch, run.seed) for run in found[:24]} == {
        (row, kind, seed) for row in CORE for kind in ("keep", "balanced") for seed in range(3)
    }
    assert {*ROWS} == {*TABLE2, *TABLE3, *TABLE4, "beta=10", "beta=20", "beta=25", "beta=30"}
    assert len({*found}) == len(found) == len(ROWS) * 2 * 5
    assert len({cell.name for cell in cells([NAME], [])}) == len(found)


def test_runs_have_the_protocol_of_the_paper(tmp_path):
    words = ["MSAL-D", "Random", "keep"]
    for name, last in ((NAME, 10_500), (CUT, 1_500)):
        jobs, left_out = make_jobs(cells([name], [("data.root", ["d"]), ("seed", ["1"])], words), tmp_path)
        assert (len(jobs), left_out) == (2, [])
        for job in jobs:
            config = flatten(job.config)
            counts = label_counts_of(config)
            assert (counts[0], counts[1], counts[-1]) == (500, 750, last)
            assert (config["trainer.max_epochs"], config["model.radius"], config["seed"]) == (20, 0.1, 1)
            assert (config["data.init_args.last_batch"], config["data.init_args.root"]) == ("keep", "d")


@pytest.mark.parametrize(
    ("experiments", "options", "only", "sentence"),
    [
        ([NAME, "table2"], [], [], "expected reproduce alone"),
        ([NAME], [("loop.query_size", ["5"])], [], "its other options are part of the protocol"),
        ([NAME], [], ["MSALD"], "expected --only to name MSAL-D, MSAL, Entropy"),
        ([NAME], [("seed", ["9"])], [], "expected --only and --seed to leave a run"),
    ],
)
def test_mistakes_are_named(experiments, options, only, sentence):
    with pytest.raises(ConfigError, match=sentence):
        cells(experiments, options, only)


def test_a_run_that_began_on_a_gpu_is_left_alone_on_a_cpu(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    wanted = cells([NAME], [("seed", ["0"])], ["Random", "Entropy", "Margin", "keep"])
    for cell, device in zip(wanted, ("NVIDIA H200", "cpu (x86_64)"), strict=False):
        (tmp_path / cell.name / "rounds").mkdir(parents=True)
        record = RoundRecord(
            0, 500, 1, {"accuracy": 0.5}, {}, None, [], LabeledImages(), LabeledImages(), {"device": device}
        )
        body = record_body(record)
        text = json.dumps({"format": FORMAT, "digest": digest_of(body), **body})
        (tmp_path / cell.name / "rounds" / "000.json").write_text(text)
    kept, sentences = of_this_device(wanted, tmp_path)
    assert kept == wanted[1:]
    assert sentences == ["left 1 run alone that began on NVIDIA H200: this is a CPU, and the two are never mixed"]
    words = ["sweep", NAME, "--only", f"{wanted[0].row},keep", "--seed", "0", "--out", str(tmp_path)]
    assert main(words) == 2
    assert "no run is left for this machine" in capsys.readouterr().err
