"""Cells in processes that stay, against each cell by itself."""

import os
import signal
import time

import pytest

from msal_lightning.cli.main import main
from msal_lightning.errors import ConfigError
from msal_lightning.runs.records import read_records
from msal_lightning.sweep.executors.base import Task
from msal_lightning.sweep.executors.warm import WarmExecutor

TINY = [
    "--config", "digits", "--trainer.max_epochs", "1", "--trainer.accelerator", "cpu", "--loop.query_budget", "40",
    "--model.backbone.width", "4", "--query", "Random",
]  # fmt: skip


def until_ended(executor, count):
    codes = {}
    while len(codes) < count:
        executor.wait(1)
        codes |= executor.ended()
    return codes


def task(folder, name, *more):
    return Task(name, (*TINY, *more, "--run_dir", str(folder / name)), folder / f"{name}.log")


def test_one_process_runs_cells_one_after_another_and_survives_what_they_do(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    (tmp_path / "dies.py").write_text(
        "import os\nfrom msal_lightning.strategies import Entropy\n"
        "class Dies(Entropy):\n    def of(self, probabilities):\n        os._exit(9)\n"
    )
    executor = WarmExecutor(1)
    try:
        processes = set()
        for name, more, code in [
            ("first", (), 0),
            ("mistake", ("--loop.query_size", "0"), 2),
            ("second", (), 0),
            ("dies", ("--query", "dies.Dies"), 9),
            ("third", (), 0),
        ]:
            executor.start([task(tmp_path, name, *more)])
            processes.add(executor._workers[0].process.pid)
            assert until_ended(executor, 1) == {name: code}
            assert len(processes) == 1 + (name == "third")
    finally:
        executor.close()
    assert main(["fit", *TINY, "--run_dir", "alone"]) == 0
    ledgers = {name: (tmp_path / name / "ledger.csv").read_bytes() for name in ("first", "second", "third", "alone")}
    assert len({*ledgers.values()}) == 1
    accuracies = {name: [record.accuracy for record in read_records(tmp_path / name)] for name in ledgers}
    assert all(found == accuracies["alone"] for found in accuracies.values())
    assert (tmp_path / "mistake.log").read_text().startswith("error: expected loop.query_size to be at least 1")
    assert "final accuracy" in (tmp_path / "second.log").read_text()
    assert "final accuracy" not in (tmp_path / "mistake.log").read_text()


@pytest.mark.slow
def test_a_signal_ends_the_running_cell_gently_and_the_process_goes_on(tmp_path):
    executor = WarmExecutor(1)
    try:
        executor.start([task(tmp_path, "long", "--trainer.max_epochs", "100000")])
        while not (tmp_path / "long" / "config.yaml").exists():
            time.sleep(0.05)
        time.sleep(1)
        executor.stop(signal.SIGTERM)
        assert until_ended(executor, 1) == {"long": 128 + signal.SIGTERM}
        executor.start([task(tmp_path, "next")])
        assert until_ended(executor, 1) == {"next": 0}
    finally:
        executor.close()


def test_no_process_is_a_mistake():
    with pytest.raises(ConfigError, match="--jobs to be at least 1"):
        WarmExecutor(0)
