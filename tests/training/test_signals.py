"""Ctrl-C and SIGTERM."""

import contextlib
import os
import signal
import subprocess
import sys
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
def running(tmp_path):
    """A command in the middle of its first fit."""
    process = subprocess.Popen(
        [sys.executable, "-m", "msal_lightning", *LONG], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    while not (tmp_path / "out" / "checkpoints" / "fit.ckpt").exists() and process.poll() is None:
        time.sleep(0.02)
    yield process
    process.kill()
    process.communicate()


def test_sigterm_ends_with_143_and_says_how_to_go_on(running, tmp_path):
    running.send_signal(signal.SIGTERM)
    _, err = running.communicate()
    assert running.returncode == 143
    done = len(read_records(tmp_path / "out"))
    assert f"stopped by SIGTERM in round {done}: the same command goes on from there\n" in err.decode()
    assert "Traceback" not in err.decode()
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


def test_slurm_requeues_the_job_and_its_next_start_goes_on(tmp_path):
    """Lightning's own handler asks for the requeue; what it saves for that is not taken for a later round's fit."""
    (tmp_path / "scontrol").write_text(f"#!/bin/sh\necho $@ >> {tmp_path}/asked\n")
    (tmp_path / "scontrol").chmod(0o755)
    slurm = {
        "SLURM_NTASKS": "1", "SLURM_NTASKS_PER_NODE": "1", "SLURM_JOB_NAME": "train", "SLURM_JOB_ID": "1234",
        "SLURM_NNODES": "1", "SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NODEID": "0",
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
    }  # fmt: skip
    command = [sys.executable, "-m", "msal_lightning", *LONG, "--trainer.max_epochs", "150", "--overwrite"]

    def begin(**more):
        env = os.environ | slurm | more
        return subprocess.Popen(
            command, cwd=tmp_path, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    first = begin()
    while not (tmp_path / "out" / "checkpoints" / "fit.ckpt").exists() and first.poll() is None:
        time.sleep(0.02)
    first.send_signal(signal.SIGUSR1)
    _, err = first.communicate()
    assert (tmp_path / "asked").read_text() == "requeue 1234\n"
    assert first.returncode == 128 + signal.SIGUSR1
    assert "stopped by SIGUSR1" in err
    assert list((tmp_path / "out").glob("hpc_ckpt_*.ckpt"))

    second = begin(SLURM_RESTART_COUNT="1")  # --overwrite counts the first time only
    out, err = second.communicate()
    assert second.returncode == 0, err
    assert "goes on after epoch" in out
    assert not list((tmp_path / "out").glob("hpc_ckpt_*.ckpt"))
    whole = subprocess.run([*command, "--run_dir", "whole"], cwd=tmp_path, capture_output=True, check=True)
    assert whole.returncode == 0
    assert (tmp_path / "out" / "ledger.csv").read_bytes() == (tmp_path / "whole" / "ledger.csv").read_bytes()


@pytest.fixture
def start_reading(tmp_path):
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
            sys.executable, "-m", "msal_lightning", *LONG, "--data", "ImageFolder", "--data.root", "train",
            "--data.test_root", "test", "--data.size", "8", "--data.channels", "1", "--data.in_memory", "false",
            "--data.num_workers", "2", "--loop.query_budget", "0", "--query", "Entropy", *options,
        ]  # fmt: skip
        process = subprocess.Popen(
            command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        started.append(process)
        while not (tmp_path / "out" / "checkpoints" / "fit.ckpt").exists() and process.poll() is None:
            time.sleep(0.02)
        return process

    yield start
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


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
    assert f"stopped by {signum.name} in round 0: the same command goes on from there\n" in err
    assert "memory" not in err
    assert "Traceback" not in err
