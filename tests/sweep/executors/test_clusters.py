"""Executors other than the local one."""

import os
import subprocess
import sys
import time

import pytest

from msal_lightning.cli.main import main
from msal_lightning.runs.records import read_records

TINY = [
    "--config", "digits", "--trainer.max_epochs", "2", "--trainer.accelerator", "cpu", "--loop.query_budget", "80",
    "--model.backbone.width", "4",
]  # fmt: skip


def ledgers(folder):
    return {file.parent.name: file.read_bytes() for file in folder.glob("*/ledger.csv")}


@pytest.mark.parametrize(("executor", "module"), [("ray", "ray"), ("slurm", "submitit")])
def test_a_missing_extra_is_named(executor, module, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, module, None)
    assert main(["sweep", *TINY, "--executor", executor]) == 2
    assert f"python -m pip install 'msal_lightning[{executor}]'" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["{timeout_min: 3", "3", "[]"])
def test_parameters_of_slurm_are_a_json_object(text, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["sweep", *TINY, "--executor", "slurm", "--slurm", text]) == 2
    assert "expected --slurm to be a JSON object" in capsys.readouterr().err


def test_no_slurm_here(tmp_path, monkeypatch, capsys):
    pytest.importorskip("submitit")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "")
    assert main(["sweep", *TINY, "--executor", "slurm"]) == 2
    assert "--executor slurm cannot submit" in capsys.readouterr().err


def test_jobs_of_a_killed_sweep_are_cancelled(tmp_path, monkeypatch):
    pytest.importorskip("submitit")
    from msal_lightning.sweep.executors.slurm import SlurmExecutor

    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("srun", "sbatch", "scancel"):
        (tools / name).write_text(f"#!/bin/sh\necho $@ > {tmp_path}/{name}\n")
        (tools / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    (tmp_path / "slurm").mkdir()
    (tmp_path / "slurm" / "jobs").write_text("17_0\n17_1")
    SlurmExecutor(tmp_path / "slurm", 1, 0, {})
    assert (tmp_path / "scancel").read_text() == "17_0 17_1\n"
    assert not (tmp_path / "slurm" / "jobs").exists()


@pytest.mark.faults
def test_cells_as_array_jobs_of_submitit(tmp_path, monkeypatch, capsys):
    """On submitit's local cluster: processes of this machine by the same scripts."""
    pytest.importorskip("submitit")
    from msal_lightning.sweep.executors import slurm

    class Here(slurm.SlurmExecutor):
        def __init__(self, *args):
            super().__init__(*args, cluster="local")

    monkeypatch.setattr(slurm, "SlurmExecutor", Here)
    monkeypatch.chdir(tmp_path)
    grid = [*TINY, "--query", "Random,MSALD", "--out"]
    assert main(["sweep", *grid, "far", "--executor", "slurm", "--slurm", '{"timeout_min": 5}']) == 0
    assert main(["sweep", *grid, "near"]) == 0
    assert ledgers(tmp_path / "far") == ledgers(tmp_path / "near")
    assert len(ledgers(tmp_path / "far")) == 2


@pytest.mark.faults
def test_ray_goes_on_when_a_node_is_killed(tmp_path, monkeypatch):
    """Six cells on two nodes of one core, one node killed in the middle."""
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    monkeypatch.chdir(tmp_path)
    grid = [*TINY, "--trainer.max_epochs", "60", "--query", "Random,MSALD", "--seed", "0,1,2", "--out"]
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        second = cluster.add_node(num_cpus=1)
        command = [sys.executable, "-m", "msal_lightning", "sweep", *grid, "far", "--executor", "ray"]
        process = subprocess.Popen(
            command,
            env={**os.environ, "RAY_ADDRESS": cluster.address},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        while not list(tmp_path.glob("far/*/rounds/001.json")) and process.poll() is None:
            time.sleep(0.05)
        cluster.remove_node(second, allow_graceful=False)
        out, _ = process.communicate(timeout=400)
    finally:
        cluster.shutdown()
    assert process.returncode == 0, out
    assert main(["sweep", *grid, "near", "--jobs", "2"]) == 0
    assert ledgers(tmp_path / "far") == ledgers(tmp_path / "near")
    assert len(ledgers(tmp_path / "far")) == 6
    for folder in (tmp_path / "near").glob("digits-*-seed?"):
        far = read_records(tmp_path / "far" / folder.name)
        assert [record.accuracy for record in far] == [record.accuracy for record in read_records(folder)]
