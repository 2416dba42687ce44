"""Ctrl-C and SIGTERM."""

import os
import signal
import time

import numpy as np
import pytest
from PIL import Image

from msal_lightning.runs.records import read_records
from msal_lightning.training.signals import GracefulShutdown, Stopped

LONG = [
    "fit", "--config", "digits", "--run_dir", "out", "--trainer.accelerator", "cpu", "--loop.query_budget", "80",
    "--model.backbone.width", "4", "--trainer.max_epochs", "400", "--loop.checkpoint_seconds", "0",
]  # fmt: skip


@pytest.fixture
def running(tmp_path, commands):
    """A command in the middle of its first fit."""
    process = commands.start("-m", "msal_lightning", *LONG, cwd=tmp_path)
    while not (tmp_path / "out" / "checkpoints" / "fit.ckpt").exists() and process.poll() is None:
        time.sleep(0.02)
    yield process
    process.kill_group()


def test_sigterm_ends_with_143_and_says_how_to_go_on(running, tmp_path):
    running.send_signal(signal.SIGTERM)
    _, err = running.communicate()
    assert running.returncode == 143
    done = len(read_records(tmp_path / "out"))
    assert f"stopped by SIGTERM in round {done}: the same command resumes from there\n" in err
    assert "Traceback" not in err
    assert (tmp_path / "out" / "lock").read_text() == ""


def test_a_second_signal_ends_at_once(running, tmp_path):
    running.send_signal(signal.SIGINT)
    time.sleep(0.001)
    running.send_signal(signal.SIGINT)
    running.communicate()
    assert running.returncode in (-signal.SIGINT, 130)
    assert (tmp_path / "out" / "checkpoints" / "fit.ckpt").exists()


def test_a_stop_between_batches_waits_for_the_next_check():
    stop = GracefulShutdown()
    stop.where = "round 7"
    reached = []

    def work():
        with stop:
            os.kill(os.getpid(), signal.SIGTERM)
            reached.append("after the signal")
            stop.check()
            reached.append("after the check")

    with pytest.raises(Stopped, match="stopped by SIGTERM in round 7") as stopped:
        work()
    assert reached == ["after the signal"]
    assert stopped.value.signum == signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_an_error_after_a_signal_is_not_hidden():
    def work():
        with GracefulShutdown():
            os.kill(os.getpid(), signal.SIGTERM)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work()


def test_slurm_requeues_the_job_and_its_next_start_goes_on(tmp_path, commands):
    """Lightning's own handler asks for the requeue; what it saves for that is not taken for a later round's fit."""
    (tmp_path / "scontrol").write_text(f"#!/bin/sh\necho $@ >> {tmp_path}/asked\n")
    (tmp_path / "scontrol").chmod(0o755)
    slurm = {
        "SLURM_NTASKS": "1", "SLURM_NTASKS_PER_NODE": "1", "SLURM_JOB_NAME": "train", "SLURM_JOB_ID": "1234",
        "SLURM_NNODES": "1", "SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NODEID": "0",
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
    }  # fmt: skip
    command = ["-m", "msal_lightning", *LONG, "--trainer.max_epochs", "60", "--loop.query_budget", "40", "--overwrite"]

    first = commands.start(*command, cwd=tmp_path, **slurm)
    while not (tmp_path / "out" / "checkpoints" / "fit.ckpt").exists() and first.poll() is None:
        time.sleep(0.02)
    first.send_signal(signal.SIGUSR1)
    _, err = first.communicate()
    assert (tmp_path / "asked").read_text() == "requeue 1234\n"
    assert first.returncode == 128 + signal.SIGUSR1
    assert "stopped by SIGUSR1" in err
    assert list((tmp_path / "out").glob("hpc_ckpt_*.ckpt"))

    second = commands.run(*command, cwd=tmp_path, **slurm, SLURM_RESTART_COUNT="1")  # --overwrite counts once only
    assert second.returncode == 0, second.stderr
    assert "resumes after epoch" in second.stdout
    assert not list((tmp_path / "out").glob("hpc_ckpt_*.ckpt"))
    assert commands.run(*command, "--run_dir", "whole", cwd=tmp_path).returncode == 0
    assert (tmp_path / "out" / "ledger.csv").read_bytes() == (tmp_path / "whole" / "ledger.csv").read_bytes()


@pytest.fixture
def start_reading(tmp_path, commands):
    """``start_reading(*options)``: a command in the middle of a fit whose images come from two other processes."""
    rng = np.random.default_rng(0)
    for split, number in (("train", 30), ("test", 5)):
        for label in "ab":
            (tmp_path / split / label).mkdir(parents=True)
            for k in range(number):
                Image.fromarray(rng.integers(0, 256, (8, 8), dtype=np.uint8)).save(
                    tmp_path / split / label / f"{k}.png"
                )
    started = []

    def start(*options):
        command = [
            "-m", "msal_lightning", *LONG, "--data", "ImageFolder", "--data.root", "train",
            "--data.test_root", "test", "--data.size", "8", "--data.channels", "1", "--data.in_memory", "false",
            "--data.num_workers", "2", "--loop.query_budget", "0", "--query", "Entropy", *options,
        ]  # fmt: skip
        process = commands.start(*command, cwd=tmp_path, ranks=2 if options else 1)
        started.append(process)
        while not (tmp_path / "out" / "checkpoints" / "fit.ckpt").exists() and process.poll() is None:
            time.sleep(0.02)
        return process

    yield start
    for process in started:
        process.kill_group()


RANKS = ("--trainer.devices", "2", "--trainer.strategy", "ddp")


@pytest.mark.parametrize(
    ("signum", "options"),
    [
        (signal.SIGTERM, ()),
        pytest.param(signal.SIGINT, (), marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, RANKS, marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, RANKS, marks=pytest.mark.slow),
    ],
    ids=["SIGTERM", "SIGINT", "SIGTERM, two ranks", "SIGINT, two ranks"],
)
def test_a_signal_to_the_whole_process_group(start_reading, signum, options):
    """As Ctrl-C in a terminal, ``timeout`` and batch systems send it: loader processes get it too, and end first."""
    process = start_reading(*options)
    os.killpg(process.pid, signum)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 128 + signum, err
    assert f"stopped by {signum.name} in round 0: the same command resumes from there\n" in err
    assert "memory" not in err
    assert "Traceback" not in err
