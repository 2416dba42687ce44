"""Online runs of W&B, against a server on this machine."""

import csv
import os
import subprocess
import sys

import pytest
import wandb

from msal_lightning.cli.main import main
from msal_lightning.runs.records import read_records
from msal_lightning.tracking import tracking

TINY = [
    "--config", "digits", "--trainer.max_epochs", "2", "--trainer.accelerator", "cpu", "--loop.query_budget", "80",
    "--model.backbone.width", "4", "--loop.checkpoint_seconds", "0", "--trainer.callbacks+=theirs.Interrupt",
    "--logger", "wandb", "--wandb_images", "2",
]  # fmt: skip


def losses(run):
    rows = [
        row for file in sorted(run.glob("fits/*/metrics.csv")) for row in csv.DictReader(file.read_text().splitlines())
    ]
    return [float(row["train_loss"]) for row in rows if row["train_loss"]]


def check(server, run):
    """The server has each epoch and round of a finished run once."""
    ((id, there),) = server.runs.items()
    assert (run / "wandb_id").read_text().split() == [id, "finished"]
    records = read_records(run)
    fits = [row for row in there["history"] if "fit/epoch" in row]
    assert [row["fit/epoch"] for row in fits] == list(range(2 * len(records)))
    assert [row["fit/train_loss"] for row in fits] == losses(run)
    loop = [row for row in there["history"] if "loop/round" in row]
    assert [(row["loop/num_labeled"], row["loop/accuracy"]) for row in loop] == [
        (record.num_labeled, record.accuracy) for record in records
    ]
    assert there["summary"]["final_accuracy"] == records[-1].accuracy
    assert (there["state"], there["job_type"]) == ("finished", "fit")
    assert there["tags"] == ["Digits", "MSAL-D", "prototype"]
    (ledger,) = [a for a in server.artifacts if a["type"] == "dataset"]
    assert server.uploads[ledger["files"]["ledger.csv"]] == (run / "ledger.csv").read_bytes()
    assert len([a for a in server.artifacts if a["type"] == "run_table"]) == 2


def test_an_interrupted_run_goes_on_where_the_server_is(tmp_path, wandb_server, theirs, monkeypatch, capsys):
    monkeypatch.setattr(tracking, "_EARLY_END", 120)  # however busy this machine is
    monkeypatch.setattr(tracking, "_END", 120)
    command = ["fit", *TINY, "--run_dir", str(tmp_path / "run")]
    theirs.Interrupt.at = (1, 1)
    assert main(command) == 2
    theirs.Interrupt.at = None
    capsys.readouterr()
    # the account is gone: a note, and the run goes to its end
    wandb.teardown()  # it remembers the account otherwise
    monkeypatch.setenv("WANDB_API_KEY", "short")
    assert main(command) == 0
    said = capsys.readouterr().out
    assert said.count("logger wandb failed") == 1
    assert len(read_records(tmp_path / "run")) == 3
    # it is back: what is missing is sent
    wandb.teardown()
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    assert main(command) == 0
    check(wandb_server, tmp_path / "run")


def run_alone(run, tmp_path, limit=300):
    program = [sys.executable, "-m", "msal_lightning", "fit", *TINY, "--run_dir", str(run)]
    return subprocess.run(
        program, cwd=tmp_path, env={**os.environ, "PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"},
        capture_output=True, text=True, check=False, timeout=limit,
    )  # fmt: skip


@pytest.mark.slow
def test_a_server_that_dies_is_a_note(tmp_path, wandb_server, theirs):
    (tmp_path / "theirs.py").write_text(
        (tmp_path / "theirs.py").read_text()
        + """
    def on_train_start(self, trainer, pl_module):
        import pathlib, time
        if trainer.datamodule.round == 1 and pathlib.Path("die").exists():
            pathlib.Path("die").unlink()
            while not pathlib.Path("dead").exists():
                time.sleep(0.05)
"""
    )
    (tmp_path / "die").touch()
    import threading
    import time

    def kill():
        while (tmp_path / "die").exists():
            time.sleep(0.05)
        wandb_server.stop()
        (tmp_path / "dead").touch()

    threading.Thread(target=kill).start()
    done = run_alone(tmp_path / "run", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    assert len((done.stderr + done.stdout).splitlines()) < 20
    assert done.stdout.count("logger wandb failed") == 1
    assert len(read_records(tmp_path / "run")) == 3
    wandb_server.start(wandb_server.port)
    done = run_alone(tmp_path / "run", tmp_path)
    assert done.returncode == 0, done.stderr
    check(wandb_server, tmp_path / "run")


@pytest.mark.slow
def test_an_offline_run_can_be_synced(tmp_path, wandb_server, theirs, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    done = run_alone(tmp_path / "run", tmp_path)
    assert done.returncode == 0, done.stderr
    assert not wandb_server.runs
    monkeypatch.setenv("WANDB_MODE", "online")
    (folder,) = (tmp_path / "run" / "wandb").glob("offline-run-*")
    program = [sys.executable, "-m", "wandb", "sync", str(folder)]
    subprocess.run(program, cwd=tmp_path, check=True, timeout=120, capture_output=True)
    check(wandb_server, tmp_path / "run")


def test_waiting_has_an_end():
    from msal_lightning.tracking.wandb_run import FINISH_SECONDS

    assert FINISH_SECONDS < tracking._END
