"""One writer for each run directory."""

import contextlib
import os
import re
import signal
import subprocess
import sys

import pytest

from msal_lightning.errors import UserError
from msal_lightning.io.lock import DirectoryLock
from msal_lightning.runs.directory import RunDirectory

HOLD = """
import sys, time
from pathlib import Path
from msal_lightning.runs.directory import RunDirectory
RunDirectory(sys.argv[1], {"seed": 0}).open()
if sys.argv[2:]:
    import os
    if not os.fork():  # as loader workers are
        time.sleep(60)
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def hold(tmp_path):
    """``hold()``: another process that has the run directory open."""
    started = []

    def start(*arguments):
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(tmp_path / "run"), *arguments],
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        assert process.stdout.readline() == "held\n"
        return process

    yield start
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()


def test_a_second_writer_is_told_who_has_it(hold, tmp_path):
    process = hold()
    pattern = rf"in use by process {process.pid} on {re.escape(os.uname().nodename)} since .*: wait for it"
    with pytest.raises(UserError, match=pattern):
        RunDirectory(tmp_path / "run", {"seed": 0}).open()
    with pytest.raises(UserError, match="in use"):  # nor does it throw away what the other one writes
        RunDirectory(tmp_path / "run", {"seed": 1}, overwrite=True).open()
    assert (tmp_path / "run" / "config.yaml").read_text() == "seed: 0\n"


@pytest.mark.parametrize("arguments", [(), ("workers",)])
def test_the_lock_of_a_killed_process_is_free(hold, tmp_path, arguments):
    process = hold(*arguments)
    process.kill()
    process.wait()
    assert RunDirectory(tmp_path / "run", {"seed": 0}).open() == []  # though its worker may still live


def test_released_and_taken_again(tmp_path):
    lock = DirectoryLock(tmp_path / "lock")
    lock.acquire()
    lock.acquire()
    assert str(os.getpid()) in (tmp_path / "lock").read_text()
    lock.close()
    lock.close()
    assert (tmp_path / "lock").read_text() == ""
    lock.acquire()
    lock.close()


def test_a_refused_run_directory_is_not_kept_locked(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "photo.jpg").touch()
    run = RunDirectory(tmp_path / "run", {"seed": 0})
    with pytest.raises(UserError, match="not from a run"):
        run.open()
    (tmp_path / "run" / "photo.jpg").unlink()
    assert RunDirectory(tmp_path / "run", {"seed": 0}).open() == []


def test_the_holder_is_named_as_long_as_it_lives(hold, tmp_path):
    lock = DirectoryLock(tmp_path / "run" / "lock")
    assert lock.holder() is None  # nor is a file made
    assert not (tmp_path / "run").exists()
    process = hold()
    assert lock.holder().startswith(f"process {process.pid} on ")
    process.kill()
    process.wait()
    assert "process" in (tmp_path / "run" / "lock").read_text()  # what a killed process leaves
    assert lock.holder() is None
